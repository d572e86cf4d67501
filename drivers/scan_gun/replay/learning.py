"""The options of a gun's table, derived from three scans of known codes, with the reasons. Pure.

Options are offered only if the daemon's own decoders read all three recordings exactly with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from drivers.reading import Scalar
from drivers.scan_gun.capture import RawCapture, Source
from drivers.scan_gun.decoding.affixes import identifier
from drivers.scan_gun.recording import Entry, line
from drivers.scan_gun.replay.replay import replay
from drivers.scan_gun.replay.typed import TypedInput, typed_input

Bilingual: TypeAlias = tuple[str, str]  # Chinese and English


class Codes(NamedTuple):
    """Contents of the three test codes: a QR code of ASCII, one with Chinese (UTF-8, undeclared), an EAN-13."""

    ascii: str = "YiNong/2026-aZ:bY#7"
    chinese: str = "Mm益农信息社隆喆"
    ean: str = "6901234567892"


CODES = Codes()


class Learned(NamedTuple):
    """`ok`: the gun can be used with `options` (those that differ from the default). `notes` describe what was found."""

    ok: bool
    options: dict[str, Scalar]
    notes: tuple[Bilingual, ...]


class _Affixes(NamedTuple):
    """What the gun added around a code's data."""

    prefix: str
    aim: str  # identifier without its bracket
    tail: str


def typed_by(
    recorded: Mapping[str, Sequence[Entry]], sources: Mapping[str, Source], codes: Codes = CODES
) -> str | None:
    """The device that read the ASCII code; None if none did (a person typed, or a gun that garbles letters)."""
    wanted = codes.ascii.casefold()
    fits = [name for name, entries in recorded.items() if wanted in typed_input(sources[name], entries).text.casefold()]
    return fits[0] if fits else None


def learn(source: Source, scans: Sequence[Sequence[Entry]], codes: Codes = CODES) -> Learned:
    """The options from the recordings of `codes`, one for each code in their order (format of `recording`, without marks)."""
    typed = [typed_input(source, entries) for entries in scans]
    fault = _fault(typed[0], typed[2], codes)
    if fault:
        return Learned(False, {}, (fault,))
    first, last = _affixes(typed[0], codes.ascii), _affixes(typed[2], codes.ean)
    assert first and last
    if first.prefix != last.prefix or first.tail != last.tail:
        return Learned(False, {}, (_varying(first, last),))
    fixed: dict[str, Scalar] = _affix_options(source, first, all(_aim(h) for h in typed))
    gaps = [b - a for h in typed for a, b in pairwise(h.times)]
    if not first.tail and source != "hidpos" and gaps and max(gaps) > 200:
        fixed["silence_ms"] = min(10_000, 4 * max(gaps))
    notes = [_affix_note(first, all(_aim(h) for h in typed)), _speed_note(source, gaps)]
    for chinese in (True, False):
        for options in _choices(source, fixed):
            captures = _read(source, scans, options, codes, chinese)
            if captures:
                options |= _charset_option(source, captures[1]) if chinese else {}
                notes.append(_chinese_note(source, captures[1]) if chinese else _NO_CHINESE)
                return Learned(True, options, (*notes, *_caps_note(source, scans, options)))
    swapped = codes.ascii not in typed[0].text
    return Learned(False, {}, (*notes, _CASE_SWAPPED if swapped else _UNREADABLE))


def _choices(source: Source, fixed: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
    """The options to try, the default first."""
    keys = source == "evdev"
    for caps, alt, charset in product(
        ("ignore", "host") if keys else ("ignore",),
        ("auto", "unicode", "gbk") if keys else ("auto",),
        ("auto", "gb18030", "utf-8"),
    ):
        usual = {"caps": "ignore", "alt": "auto", "charset": "auto"}
        tried = {"caps": caps, "alt": alt, "charset": charset}
        yield {**fixed, **{key: value for key, value in tried.items() if value != usual[key]}}


def _read(
    source: Source, scans: Sequence[Sequence[Entry]], options: dict[str, Scalar], codes: Codes, chinese: bool
) -> list[RawCapture] | None:
    """The three captures, if each is exactly its code (the Chinese one is compared only if `chinese`)."""
    captures: list[RawCapture] = []
    for entries, text in zip(scans, codes, strict=True):
        found = list(replay([line({"config": options}), *(line(entry) for entry in entries)], source))
        right = [c.text for c in found] == [text] and not found[0].damaged
        if not right and (chinese or text != codes.chinese):
            return None
        captures += found[:1] if found else []
    return captures


def _fault(letters: TypedInput, digits: TypedInput, codes: Codes) -> Bilingual | None:
    """A fault that no option of a table can correct."""
    if not _affixes(letters, codes.ascii):
        text = letters.text
        if codes.ascii.casefold() in text.casefold():
            return (
                "扫码枪改动了字母大小写，请按说明书关闭“大小写转换”后再试",
                "the gun changes upper and lower case: switch its case conversion off and try again",
            )
        return (
            f"第一个码读得不对（{text[:60]!r}）：请检查扫码枪的键盘布局（应为美式英语）",
            f"the first code was read as {text[:60]!r}: set the gun's keyboard layout to US English",
        )
    if not _affixes(digits, codes.ean):
        if codes.ean[:-1] in digits.text:
            return (
                "扫码枪不送出条码的校验位，请按说明书打开“EAN-13 送出校验位”后再试",
                "the gun keeps the check digit of EAN-13 to itself: let it send the check digit and try again",
            )
        return (
            f"第三个码读得不对（{digits.text[:60]!r}）",
            f"the third code was read as {digits.text[:60]!r}",
        )
    if letters.lost or digits.lost:
        return ("扫码时丢失了按键，请再试一次", "keys were lost while it was read: try again")
    return None


def _affixes(typed: TypedInput, text: str) -> _Affixes | None:
    """Upper and lower case may be inverted: that is tried with the state of the LEDs known."""
    for written in (text, text.swapcase()):
        at = typed.text.find(written)
        if at >= 0:
            head, tail = typed.text[:at], typed.text[at + len(written) :]
            return _Affixes(*_split(head, typed.identifier), tail)
    return None


def _split(head: str, identifier_known: str | None) -> tuple[str, str]:
    """Prefix and AIM identifier, which come in either order."""
    if identifier_known:
        return head, identifier_known[1:]
    if first := identifier(list(head)):
        return head[3:], first
    if last := identifier(list(head[-3:])):
        return head[:-3], last
    return head, ""


def _aim(typed: TypedInput) -> bool:
    return bool(typed.identifier or any(identifier(typed.items[at : at + 3]) for at in range(len(typed.items))))


def _affix_options(source: Source, around: _Affixes, aim: bool) -> dict[str, Scalar]:
    named = {"": "none", "\t": "tab"} | (
        {"\n": "enter"} if source == "evdev" else {"\r": "cr", "\n": "lf", "\r\n": "crlf"}
    )
    options: dict[str, Scalar] = {}
    if source != "hidpos":
        options["suffix"] = named.get(around.tail, around.tail)
    elif around.tail.rstrip("\r\n"):
        options["suffix"] = around.tail
    return options | ({"prefix": around.prefix} if around.prefix else {}) | ({"aim": True} if aim else {})


def _charset_option(source: Source, chinese: RawCapture) -> dict[str, Scalar]:
    """The code contained UTF-8: a gun that sent GBK bytes converts everything to GBK."""
    gbk = chinese.charset_because in ("not_utf8", "utf8_without_chinese")
    return {"charset": "gb18030"} if gbk and source != "evdev" else {}


def _varying(first: _Affixes, last: _Affixes) -> Bilingual:
    if first.tail != last.tail:
        return (
            f"扫码结尾不固定（{first.tail!r} 与 {last.tail!r}），请再试一次",
            f"the scans end differently ({first.tail!r} and {last.tail!r}): try again",
        )
    return (
        f"扫码枪按码制加了不同的前缀（{first.prefix!r} 与 {last.prefix!r}）：请关闭“Code ID”，或改为发送 AIM 标识",
        f"each kind of code has other letters before it ({first.prefix!r}, {last.prefix!r}): switch code ids off, or to AIM",
    )


_NAMES: dict[str, Bilingual] = {
    "": ("没有（靠停顿判断）", "nothing (silence ends a scan)"), "\n": ("回车", "Enter"), "\r": ("CR", "CR"),
    "\r\n": ("CR LF", "CR LF"), "\t": ("Tab", "Tab"),
}  # fmt: skip


def _affix_note(around: _Affixes, aim: bool) -> Bilingual:
    zh, en = _NAMES.get(around.tail, (repr(around.tail), repr(around.tail)))
    zh, en = f"结尾：{zh}", f"ends with {en}"
    if around.prefix:
        zh, en = f"{zh}；前缀：{around.prefix!r}", f"{en}; prefix {around.prefix!r}"
    if aim:
        zh, en = f"{zh}；发送 AIM 码制标识", f"{en}; sends AIM identifiers"
    elif around.aim:
        zh, en = f"{zh}；只有部分码带 AIM 标识", f"{en}; sends AIM identifiers with some codes only"
    return zh, en


def _speed_note(source: Source, gaps: list[int]) -> Bilingual:
    if source != "evdev" or not gaps:
        return "速度：整段送出", "speed: in whole pieces"
    usual, longest = round(median(gaps)), max(gaps)
    return (
        f"速度：每个字符约 {usual} 毫秒，最长间隔 {longest} 毫秒",
        f"speed: a character in about {usual} ms, the longest gap {longest} ms",
    )


_CHINESE: dict[str, Bilingual] = {
    "alt_unicode": ("Alt+Unicode 码", "Alt codes, Unicode"), "alt_gbk": ("Alt+GBK 码", "Alt codes, GBK"),
    "unicode_hex": ("十六进制 Unicode 码", "Unicode numbers in hex"),
    "alt_bytes": ("Alt+逐字节", "Alt codes, byte by byte"), "not_utf8": ("GBK 字节", "GBK bytes"),
    "utf8_without_chinese": ("GBK 字节", "GBK bytes"), "utf8_with_chinese": ("UTF-8 字节", "UTF-8 bytes"),
    "eci_000026": ("UTF-8，带 ECI 标识", "UTF-8 declared by ECI"),
    "eci_000029": ("GB18030，带 ECI 标识", "GB18030 declared by ECI"),
}  # fmt: skip
_NO_CHINESE: Bilingual = (
    "中文：读不出。请把扫码枪切换到 USB 串口（CDC）或 HID POS 模式，再运行 yinong-agent learn",
    "Chinese: lost. Switch the gun to CDC or HID POS mode and run yinong-agent learn again",
)
_CASE_SWAPPED: Bilingual = (
    "字母大小写被颠倒：请按说明书关闭扫码枪的“大写锁定”或“大小写反转”后再试",
    "upper and lower case are turned round: switch the gun's own CapsLock or case inversion off and try again",
)
_UNREADABLE: Bilingual = (
    "三个码没有全部读对，请再试一次；还是不行请联系运营服务商",
    "no options read all three codes right: try again, and call the operator if it stays so",
)


def _chinese_note(source: Source, capture: RawCapture) -> Bilingual:
    because = capture.charset_because
    zh, en = _CHINESE.get(because, (because, because))
    if source == "evdev":
        return f"中文：{zh}，可以读出", f"Chinese: {en}, read right"
    return f"中文：{zh}", f"Chinese: {en}"


def _caps_note(source: Source, scans: Sequence[Sequence[Entry]], options: Mapping[str, Any]) -> tuple[Bilingual, ...]:
    if source != "evdev":
        return ()
    if options.get("caps") == "host":
        return (
            (
                "大写锁定：亮灯时字母大小写颠倒，已按主机状态还原",
                "CapsLock: letters are inverted while it is on; corrected",
            ),
        )
    if any(entry.get("code") == "LED_CAPSL" and entry.get("value") for entries in scans for entry in entries):
        return (("大写锁定：不受影响", "CapsLock: no effect"),)
    return (("大写锁定：没有试（指示灯不能点亮）", "CapsLock: not tried, its lamp could not be lit"),)
