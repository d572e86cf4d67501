"""All mistakes of a configuration: each with its path, its line, the value and what would be right.

msgspec.convert stops at the first mistake; here every field is converted separately, so that all are reported. The Chinese and
English texts of what would be right come from the types (`Meta(description="中文 / English")` if a type alone is not
clear enough).
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import date
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, cast, get_args, get_origin

import msgspec
from msgspec import inspect as types

from drivers.catalogue import Lang
from drivers.reading import YinongError


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake. Tables and list elements are counted from 1: `device[2].address` belongs to the second `[[device]]`."""

    path: str  # empty for the file as a whole
    value: str = ""  # as in the file, shortened, never a secret; empty if missing
    zh: str  # what would be right
    en: str
    line: int | None = None
    stops_start: bool = False

    def text(self, lang: Lang = "zh") -> str:
        """`第 12 行 broker.port = 99999：应为 1 到 65535 的整数`."""
        where = f"{self.path} = {self.value}" if self.value else self.path
        line = "" if self.line is None else (f"第 {self.line} 行" if lang == "zh" else f"line {self.line}")
        lead = " ".join(filter(None, (line, where)))
        return f"{lead}：{self.zh}" if lang == "zh" else f"{lead}: {self.en}"


Report: TypeAlias = Callable[[str, str, str, str], None]  # path, value, zh, en
INVALID: Final = object()  # returned instead of a value with a reported mistake

_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|credential|(^|_)psk($|_)|(private|api)_?key|密码|口令", re.I)
_USER_IN_URL = re.compile(r"//[^/@\s]*@")


def converted(value: object, kind: Any, path: str, report: Report, *, lenient: bool = False) -> Any:
    """`value` (of parsed TOML) as `kind`, after everything wrong in it was reported; INVALID if that is not possible.

    `lenient`: a struct is built nevertheless, with the defaults of its wrong fields.
    """
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        if not isinstance(value, dict):
            report(path, shown(value), f"应写成一节 [{path}]", f"must be a section [{path}]")
            return INVALID
        return _struct(cast(dict[str, object], value), bare, path, report, lenient)
    if isinstance(value, list) and (item := _item_kind(bare)) is not None:
        elements = enumerate(cast(list[object], value), 1)
        made = [converted(one, item, f"{path}[{n}]", report) for n, one in elements]  # all, so that all are reported
        if INVALID in made:
            return INVALID
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        zh, en = expected(kind, str(error))
        report(path, shown(cast(object, value)), f"应为{_spaced(zh)}", f"must be {en}")
        return INVALID


def looks_like_a_secret(key: str) -> bool:
    """Whether the value of this key would be a secret (the name of a secret's file is not one)."""
    return bool(_SECRET.search(key)) and not key.endswith("_file")


def report_unknown(
    key: str, path: str, value: object, known: Iterable[str], report: Report, zh: str = "这个选项", en: str = "option"
) -> None:
    """Report an unknown key (or name), with the nearest known one, or with all of them."""
    known = list(known)
    if near := get_close_matches(key, known, n=1, cutoff=0.6):
        meant_zh, meant_en = f"，是不是 {near[0]}？", f"; did you mean {near[0]}?"
    else:
        meant_zh, meant_en = f"；可用的有：{'、'.join(known)}", f"; there are: {', '.join(known)}"
    report(path, shown(value), f"没有{zh}{meant_zh}", f"there is no such {en}{meant_en}")


def report_secret(path: str, report: Report) -> None:
    """Report a secret in the TOML itself; its value is never shown."""
    report(
        path,
        "***",
        "密码不能写在这里：请放进权限为 0600 的文件（如 broker.password_file），或 systemd 凭据",
        "no secret may stand here: put it into a file of mode 0600 (like broker.password_file) or a systemd credential",
    )


def _struct(table: dict[str, object], kind: type[msgspec.Struct], path: str, report: Report, lenient: bool) -> Any:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    right: dict[str, Any] = {}
    whole = True
    for key, value in table.items():
        made: Any = INVALID
        if looks_like_a_secret(key):
            report_secret(f"{path}.{key}", report)
        elif key not in fields:
            report_unknown(key, f"{path}.{key}", value, fields, report)
        else:
            made = converted(value, fields[key].type, f"{path}.{key}", report, lenient=lenient)
        if made is INVALID:
            whole = False
        else:
            right[fields[key].name] = made
    for key, field in fields.items():
        if key not in table and field.required:
            zh, en = expected(field.type)
            report(f"{path}.{key}", "", f"缺少这一项，应为{_spaced(zh)}", f"is missing; it must be {en}")
            whole = False
    if not whole and (not lenient or any(field.required and field.name not in right for field in fields.values())):
        return INVALID
    return _build(kind, right, path, report, lenient)


def _build(kind: type[msgspec.Struct], right: dict[str, Any], path: str, report: Report, lenient: bool) -> Any:
    try:
        return kind(**right)
    except (
        ValueError,
        YinongError,
    ) as error:  # of a __post_init__: fields that do not go together, in Chinese and English
        report(path, "", *split_texts(str(error)))
    if lenient and not any(field.required for field in msgspec.structs.fields(kind)):
        return kind()
    return INVALID


def split_texts(text: str) -> tuple[str, str]:
    """The two parts of `中文 / English`; a text without a slash is used for both."""
    zh, slash, en = text.partition(" / ")
    return (zh, en) if slash else (text, text)


def shown(value: object) -> str:
    """A value for a message: like TOML, shortened, without the user part of an address or the content of a table."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = json.dumps(_USER_IN_URL.sub("//***@", value), ensure_ascii=False)
        case date():
            text = value.isoformat()
        case dict():
            text = "{…}"
        case list():
            text = f"[{', '.join(map(shown, cast(list[object], value)))}]"
        case _:
            text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _item_kind(kind: Any) -> Any:
    """The item type of a list or of a tuple of any length; None for other types."""
    arguments = get_args(kind)
    if get_origin(kind) is list and arguments:
        return arguments[0]
    if get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    if get_origin(kind) in (Union, UnionType):
        return next((item for one in arguments if (item := _item_kind(one)) is not None), None)
    return None


def expected(kind: Any, error: str = "") -> tuple[str, str]:
    """The values that a type accepts, in Chinese and English; `error` (of msgspec) for types without a text here."""
    match info := types.type_info(kind):
        case types.Metadata(extra_json_schema={"description": str(words)}):
            return split_texts(words)
        case types.Metadata():
            return expected(get_args(kind)[0], error)
        case types.BoolType():
            return "true 或 false", "true or false"
        case types.IntType() | types.FloatType():
            return _number(info)
        case types.StrType():
            return _text(info)
        case types.LiteralType() | types.EnumType():
            values = info.values if isinstance(info, types.LiteralType) else [one.value for one in info.cls]
            listed = [shown(one) for one in values]
            return f"其中之一：{'、'.join(listed)}", f"one of {', '.join(listed)}"
        case types.DateType():
            return "日期，如 2026-03-02", "a date like 2026-03-02"
        case types.ListType() | types.VarTupleType():
            zh, en = expected(_item_kind(kind), error)
            return f"列表 […]，每一项为{_spaced(zh)}", f"a list […], each of it {en}"
        case types.UnionType():
            words = [expected(one, error) for one in get_args(kind) if one is not type(None)]
            return " 或 ".join(zh for zh, _ in words), " or ".join(en for _, en in words)
        case _:
            return "其他写法的值", f"something else ({error})"


def _spaced(zh: str) -> str:
    """With the blank that Chinese puts before a digit or a Latin letter."""
    return f" {zh}" if zh[:1].isascii() else zh


def _number(info: types.IntType | types.FloatType) -> tuple[str, str]:
    zh, en = ("整数", "a whole number") if isinstance(info, types.IntType) else ("数", "a number")
    for bound, zh_word, en_word in (
        (info.ge, "不小于", "at least"),
        (info.gt, "大于", "above"),
        (info.le, "不大于", "at most"),
        (info.lt, "小于", "below"),
    ):
        if bound is not None:
            zh, en = f"{zh}，{zh_word} {bound:g}", f"{en}, {en_word} {bound:g}"
    return zh, en


def _text(info: types.StrType) -> tuple[str, str]:
    zh, en = '带引号的文字 "…"', 'a text in quotes "…"'
    if info.min_length:
        zh, en = f"{zh}，至少 {info.min_length} 个字", f"{en}, at least {info.min_length} characters"
    if info.max_length is not None:
        zh, en = f"{zh}，最多 {info.max_length} 个字", f"{en}, at most {info.max_length} characters"
    if info.pattern:
        zh, en = f"{zh}，格式 {info.pattern}", f"{en}, of the form {info.pattern}"
    return zh, en
