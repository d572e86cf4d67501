"""Every Chinese text of the product with its place, and what GB/T 15834 and the glossary find wrong in it."""

import ast
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
ROOMS = ("common", "agent", "drivers", "center")
HOLE = "\ufffc"  # stands for a value, a command, a code: what is not text
ZH = "\u3007"  # stands for a value that is Chinese by its name: {zh}, {action.zh}

_HANZI = f"\u4e00-\u9fff{ZH}"
_CLOSED = "\uff0c\u3002\u3001\uff1b\uff1a\uff1f\uff01\uff09\u300b\u3011"  # nothing but text goes on behind them
_OPEN = "\uff08\u300a\u3010"
_WIDE = f"{_HANZI}{_CLOSED}{_OPEN}\u201c\u201d"
_ASCII = r",;:?!()"

# Of text in any language. What English puts into ASCII brackets, (益农信息社), passes.
_EVERYWHERE = {
    "a hanzi before an ASCII sign": re.compile(f"[{_HANZI}][,;:?!(]"),
    "an ASCII sign before a hanzi": re.compile(f"[,;?!)][{_HANZI}]"),
    "a blank before a full-width sign": re.compile(rf"(?<=[^\s|#*-])[ \t]+(?=[{_CLOSED}{_OPEN}])"),
    "a blank behind a full-width sign": re.compile(rf"(?<=[{_CLOSED}{_OPEN}])[ \t]+(?=[^\s|/])"),
    "a hanzi and a Latin letter or digit without a blank": re.compile(
        rf"(?!桂[A-Z]{{3,8}}\d|{ZH})[{_HANZI}](?=[0-9A-Za-z])|[0-9A-Za-z](?!{ZH})(?=[{_HANZI}])"
    ),
    "corner brackets": re.compile("[\u300c\u300d]"),
}
# Of Chinese text: a sign next to hanzi, blanks left out, is never ASCII; next to a value, a colon or a bracket is not either.
_IN_CHINESE = {
    "an ASCII sign in Chinese": re.compile(rf"[{_WIDE}][ \t]*[{_ASCII}]|[{_ASCII}][ \t]*[{_WIDE}]"),
    "a comma between a value and nothing": re.compile(rf"{HOLE}[,;](?=\s|$)"),
    "three dots": re.compile(f"[{_HANZI}]\u2026(?!\u2026)"),
}
# Allowed all the same: a terminal's number in tables, the standard's own device; and a document's number is no text.
_KEPT = re.compile("终端编号|智能终端")
_DOCUMENT = re.compile("〔[0-9]{4}〕[0-9]+号")
_IN_BRACKETS = re.compile(rf"(?<=[A-Za-z`{HOLE}]) \([{_HANZI}]+\)")  # by English: (益农信息社)
NOT_SAID = {
    "终端": "电脑 or 本机", "后台程序": "监测程序", "运行中的程序": "监测程序", "运行中程序": "监测程序",
    "县级运营中心": "县运营中心", "县里": "县运营中心", "县中心的服务器": "县中心服务器", "消息服务": "县中心服务器",
    "运营商": "宽带公司客服", "没有发现": "没有检测到", "没有找到": "没有检测到", "应答": "回应", "回答": "回应",
    "仍不行": "还是不行", "一直这样": "还是不行", "仍然这样": "还是不行", "USB 口": "USB 接口", "插口": "USB 接口",
    "回执": "签收", "缺省": "默认", "待证实": "待核实",
}  # fmt: skip


class Text(NamedTuple):
    """A text in which hanzi stand; what is no text in it is a HOLE."""

    where: str
    text: str


def faults(text: str) -> list[str]:
    """What is wrong with a text, by the signs and the words: empty for a right one."""
    text = _DOCUMENT.sub(HOLE, text)
    found = [f"{name}: {_shown(text, hit)}" for name, sign in _EVERYWHERE.items() for hit in sign.finditer(text)]
    for piece in re.split(r" / |\n|(?<=。)", text):
        if not re.search(f"[{_HANZI}]", _IN_BRACKETS.sub("", piece)):
            continue
        if is_chinese(piece):
            found += [
                f"{name}: {_shown(piece, hit)}" for name, sign in _IN_CHINESE.items() for hit in sign.finditer(piece)
            ]
        rest = _KEPT.sub("", piece)
        found += [f"{word}: better {better}" for word, better in NOT_SAID.items() if word in rest]
    return found


def is_chinese(piece: str) -> bool:
    """Rather than English with a Chinese name in it: more hanzi than English words."""
    words = re.findall(r"(?<![\w/.\[-])[a-z][a-z']+(?![\w/.=\]_-])", piece)
    return len(re.findall(f"[{_HANZI}]", piece)) >= max(1, len(words))


def all_texts() -> Iterator[Text]:
    """Code, catalogues, configuration, documents, installation and Makefile: every text with hanzi."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix == ".py":
                yield from _found(python_texts(file.read_text("utf-8")), file)
            elif file.suffix in (".toml", ".md"):
                yield from _found(_of_kind(file), file)
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").rglob("*.toml")]
    scripts = [
        ROOT / "Makefile",
        ROOT / "docs/picture.py",
        *(ROOT / "systemd").iterdir(),
        *(ROOT / "config").glob("*.yaml"),
    ]
    for file in sorted([*documents, *scripts]):
        yield from _found(_of_kind(file), file)


def _of_kind(file: Path) -> Iterator[tuple[int, str]]:
    text = file.read_text("utf-8")
    kinds = {".py": python_texts, ".toml": toml_texts, ".md": markdown_texts}
    return kinds.get(file.suffix, line_texts)(text)


def _found(texts: Iterator[tuple[int, str]], file: Path) -> Iterator[Text]:
    for line, text in texts:
        if re.search(f"[{_HANZI}]", text):
            yield Text(f"{file.relative_to(ROOT)}:{line}", text)


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Literals (an f-string whole, its values as holes), docstrings and comments; no patterns."""
    tree = ast.parse(source)
    skipped = {id(argument) for node in ast.walk(tree) for argument in patterns_of(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, _without_codes(node.value)
        elif isinstance(node, ast.JoinedStr):
            yield node.lineno, _without_codes("".join(_part(part) for part in node.values))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _named_zh(node.targets[0]):
            yield node.lineno, f"{ZH}{_joined_by(node.value)}{ZH}"
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            yield token.start[0], _without_codes(token.string)


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value
    return ZH if isinstance(part, ast.FormattedValue) and _named_zh(part.value) else HOLE


def _named_zh(value: ast.expr) -> bool:
    """`zh`, `action.zh`, `listed_zh`, and what is joined of such."""
    if _joined_by(value):
        return any(_named_zh(one) for one in ast.walk(value) if isinstance(one, ast.Name | ast.Attribute))
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return bool(re.search("(^|_)zh(_|$)", name))


def _joined_by(value: ast.expr) -> str:
    """The sign between the parts of `", ".join(…)`."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "join":
        sign = value.func.value
        return sign.value if isinstance(sign, ast.Constant) and isinstance(sign.value, str) else ""
    return ""


def toml_texts(source: str) -> Iterator[tuple[int, str]]:
    """Values and comments. A code in straight quotes stays one."""
    for value in _strings(tomllib.loads(source)):
        yield 0, _without_codes(value)
    for number, line in enumerate(source.splitlines(), 1):
        comment = re.sub("\"[^\"]*\"|'[^']*'", lambda text: HOLE * len(text[0]), line).find("#")
        if comment >= 0:
            yield number, _without_codes(re.sub('"[^"]*"', HOLE, line[comment:]))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value


def markdown_texts(source: str) -> Iterator[tuple[int, str]]:
    """Lines without code."""
    fenced = False
    for number, line in enumerate(source.splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith("    "):
            yield number, _without_codes(line)


def line_texts(source: str) -> Iterator[tuple[int, str]]:
    """Makefile, shell, units: every line, and what stands in quotes alone."""
    for number, line in enumerate(source.splitlines(), 1):
        quoted = re.findall('"([^"]*)"', line)
        for text in quoted or [line]:
            yield number, _without_codes(re.sub(r"\$\w+|\$\([^)]*\)", HOLE, text))


def _without_codes(text: str) -> str:
    """Code spans, placeholders, addresses and tables' names are holes."""
    return re.sub(r"`[^`\n]*`|\{[^{}\n]*\}|https?://[^\s\u4e00-\uffef]+|\[\[?[a-z_]+\]?\]", HOLE, text)


def _shown(text: str, hit: re.Match[str]) -> str:
    return text[max(0, hit.start() - 12) : hit.end() + 12].strip()


# --- patterns


def patterns_of(node: ast.AST) -> list[ast.expr]:
    """The literals that a node uses as patterns: of `re`, and `pattern=` of a type."""
    if not isinstance(node, ast.Call):
        return []
    of_re = (
        isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
    )
    given = node.args[:1] if of_re else []
    given += [keyword.value for keyword in node.keywords if keyword.arg == "pattern"]
    return [one for one in given if isinstance(one, ast.Constant | ast.JoinedStr)]


class Pattern(NamedTuple):
    line: int
    text: str  # values in it are holes
    written: str  # as it stands in the source


def patterns(source: str) -> Iterator[Pattern]:
    """Every pattern, and every other literal that looks like one (a class with a quantifier, or one that is negated)."""
    tree = ast.parse(source)
    known = {id(one) for node in ast.walk(tree) for one in patterns_of(node)}
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = _literal(node)
        if text is None or id(node) in documents or id(node) in parts:
            continue
        if id(node) in known or re.search(r"\[\^|\][*+?{]", text):
            yield Pattern(node.lineno, text, ast.get_source_segment(source, node) or "")  # type: ignore[attr-defined]


def _literal(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(part) for part in node.values)
    value = node.value if isinstance(node, ast.Constant) else None
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


def twice_in_a_class(pattern: str) -> list[str]:
    """The signs that stand more than once in one character class: mostly one that was full-width once."""
    found: list[str] = []
    for members in _classes(pattern):
        found += sorted({one for one in members if one != HOLE and members.count(one) > 1})
    return found


def _classes(pattern: str) -> Iterator[list[str]]:
    """The members of each class: signs, ranges (`a-z`), escapes; of an escape for one character that character."""
    signs = re.findall(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)|.", pattern, re.DOTALL)
    at = 0
    while at < len(signs):
        if signs[at] != "[":
            at += 1
            continue
        at += 2 if signs[at + 1 : at + 2] == ["^"] else 1
        members: list[str] = []
        while at < len(signs) and (signs[at] != "]" or not members):
            if signs[at + 1 : at + 2] == ["-"] and at + 2 < len(signs) and signs[at + 2] != "]":
                members.append(f"{_plain(signs[at])}-{_plain(signs[at + 2])}")
                at += 3
            else:
                members.append(_plain(signs[at]))
                at += 1
        yield members
        at += 1


def _plain(sign: str) -> str:
    if sign[:2] in ("\\u", "\\x"):
        return chr(int(sign[2:], 16))
    return sign[1:] if len(sign) == 2 and sign[0] == "\\" and not sign[1].isalnum() else sign
