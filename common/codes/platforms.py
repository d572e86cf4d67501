"""Rules for the codes of tracing platforms, as the county takes them from real labels. Pure (docs/decisions/0020).

    like = "https://*.example.org/t/{product:w1-20}?c={code:d20}&b={batch}"      an address
    like = "GX{batch:d8}-{code:w12}"                                             any other text, as a whole

A part is `{name}`, `{name:20}` or `{name:d8-20}`: N characters (1 to 64 if not given), `d` digits, `w` ASCII letters
and digits, else anything but separators and white space. A part without a fixed length must be followed by a character that
the part cannot contain, so that a text matches in one way or not at all, in linear time.
"""

import re
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

import msgspec
from msgspec import Meta

PartName: TypeAlias = Literal["code", "product", "batch", "gtin", "serial", "date", "company"]
PART_NAMES = ("code", "product", "batch", "gtin", "serial", "date", "company")
MAX_PART = 64

_CLASSES = {"d": "[0-9]", "w": "[0-9A-Za-z]", "": r"[^/?&=#;,|<>\uff0c\uff1b\u3001\x00-\x20\x7f-\xa0\u3000]"}
_PART = re.compile(r"\{(?P<name>[a-z]+)(:(?P<kind>[dw]?)((?P<least>[0-9]{1,3})(-(?P<most>[0-9]{1,3}))?)?)?\}")
_ADDRESS = re.compile("https?://", re.IGNORECASE)
_HOST = re.compile(r"(\*\.)?([\w-]+\.)+[\w-]{2,}")


class PlatformRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[platform]]` table. Nothing is claimed beyond it."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]  # of the platform, as people call it
    like: Annotated[str, Meta(min_length=1, max_length=300)]  # what its codes look like
    check_digit: PartName | Literal[""] = ""  # the part whose last digit is a check digit as in GTINs
    per_package: bool = False  # every package has a `code` of its own; false: many may have the same one

    def __post_init__(self) -> None:
        template = template_of(self.like)
        if self.check_digit and self.check_digit not in template.parts:
            raise ValueError(
                f"like 里没有 check_digit 所指的 {{{self.check_digit}}} / "
                f"like has no {{{self.check_digit}}}, which check_digit names"
            )


class Template(NamedTuple):
    """`like`, parsed. `host` is empty if it is not an address; `path` is None if any path matches."""

    parts: tuple[str, ...]
    host: str
    path: re.Pattern[str] | None
    query: dict[str, re.Pattern[str]]  # by the parameter's name in lower case
    text: re.Pattern[str] | None


@lru_cache(256)
def template_of(like: str) -> Template:
    """Parse `like`. Raises ValueError, in Chinese and English."""
    if not like.isprintable():
        raise ValueError("like 里不能有换行等控制字符 / like must not hold line ends or other control characters")
    parts: list[str] = []
    if _ADDRESS.match(like) is None:
        pattern = _compiled(like, parts)
        if not parts:
            raise ValueError("like 里至少要有一个 {…}，如 {code:d20} / like needs at least one part such as {code:d20}")
        return Template(tuple(parts), "", None, {}, pattern)
    address = _split(like)
    host = (address.hostname or "").lower()
    if _HOST.fullmatch(host) is None:
        raise ValueError(
            f"主机名 {host or '（空）'} 不对，应如 t.example.org 或 *.example.org / "
            f"the host is {host or 'empty'}; it must be like t.example.org or *.example.org"
        )
    path, query = address.path, address.query
    if address.fragment.startswith(("/", "!/")) and not query:  # as `codes.links` reads such a page's own address
        path, _, query = address.fragment.removeprefix("!").partition("?")
    path = path.strip("/")
    pattern = _compiled(path, parts) if path or query else None
    parameters = {name.lower(): _compiled(value, parts) for name, value in parse_qsl(query, keep_blank_values=True)}
    return Template(tuple(parts), host, pattern, parameters, None)


def _split(like: str) -> SplitResult:
    try:
        return urlsplit(like)
    except ValueError as error:
        raise ValueError(f"不是网址 / is no address ({error})") from error


def _compiled(text: str, parts: list[str]) -> re.Pattern[str]:
    """The pattern of a piece of `like`; its parts' names are added to `parts`."""
    found: list[str] = []
    at = 0
    for mark in _PART.finditer(text):
        literal = text[at : mark.start()]
        found += [_literal(literal), _part(mark, parts)]
        at = mark.end()
        _refuse_ambiguous(mark, text[at : at + 1])
    return re.compile("".join([*found, _literal(text[at:])]))


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(
            f"“{text}”不是 {{名称}} 或 {{名称:d20}} 的写法 / {text!r} is not written as {{name}} or {{name:d20}}"
        )
    return re.escape(text)


def _part(mark: re.Match[str], parts: list[str]) -> str:
    name = mark["name"]
    if name not in PART_NAMES:
        listed, listed_zh = ", ".join(PART_NAMES), "、".join(PART_NAMES)
        raise ValueError(
            f"没有名为 {name} 的部分，可用的有：{listed_zh} / there is no part {name}; there are: {listed}"
        )
    if name in parts:
        raise ValueError(f"{{{name}}} 写了两次 / {{{name}}} stands twice")
    parts.append(name)
    least, most = _lengths(mark)
    if not 1 <= least <= most <= MAX_PART:
        raise ValueError(
            f"{{{name}}} 的长度应在 1 到 {MAX_PART} 之间 / the length of {{{name}}} must be within 1 and {MAX_PART}"
        )
    return f"(?P<{name}>{_CLASSES[mark['kind'] or '']}{{{least},{most}}})"


def _lengths(mark: re.Match[str]) -> tuple[int, int]:
    if not mark["least"]:
        return 1, MAX_PART
    return int(mark["least"]), int(mark["most"] or mark["least"])


def _refuse_ambiguous(mark: re.Match[str], following: str) -> None:
    """Refuse a part that could match the text after it, which would allow two ways to match."""
    least, most = _lengths(mark)
    taken = following and re.fullmatch(_CLASSES[mark["kind"] or ""], following)
    if least != most and (taken or following == "{"):
        raise ValueError(
            f"{mark[0]} 的长度不定，后面须跟一个它不能包含的字符，或写明长度 / "
            f"{mark[0]} has no fixed length: a character that it cannot hold must follow, or its length must be given"
        )
