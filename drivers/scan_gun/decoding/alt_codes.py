"""Typed scans to text: characters, and Alt+keypad codes as Unicode, GBK decimals or single bytes.

Guns in the field type Chinese as Unicode decimals (Alt+31508 is 笔), as the two GBK bytes in one decimal (Alt+49825 is 隆), or
byte by byte (Alt+0194 Alt+0161). A decimal that is a CJK code point is Unicode, else GBK; but a gun types one scan in one
encoding, so a decimal that can only be GBK makes the whole scan GBK (喆 in GBK looks like another hanzi in Unicode).
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

from drivers.scan_gun.decoding.charset import ECI_CHARSETS, Decoded, Undecodable, decode, is_chinese

Alt: TypeAlias = Literal["auto", "unicode", "gbk"]
Item: TypeAlias = str | int  # a character, or the decimal of an Alt code of 128 or more

_LEADING_ECI = re.compile(r"\\(\d{6})")


def decode_items(items: Sequence[Item], configured: str = "auto", alt: Alt = "auto", eci_mode: bool = False) -> Decoded:
    """The text of what was typed. Errors: Undecodable (also if Unicode and GBK decimals are mixed)."""
    head = "".join(c for c in items[:7] if isinstance(c, str))
    leading = _LEADING_ECI.match(head) if len(head) == len(items[:7]) else None
    eci = int(leading[1]) if leading and int(leading[1]) in ECI_CHARSETS else None
    if eci is not None:
        items = items[7:]
    charset, because = "ascii", "keys"
    if alt != "gbk":
        items = _surrogates_joined(items)
    gbk = _is_gbk([s for s in items if isinstance(s, int)], alt)
    parts: list[str] = []
    for kind, run in groupby(items, key=_kind):
        if kind == "text":
            typed = "".join(str(c) for c in run)
            if not typed.isascii():  # hex code points: always Unicode
                charset, because = "unicode", "unicode_hex"
            parts.append(typed.replace("\\\\", "\\") if eci is not None or eci_mode else typed)
            continue
        codes = [int(c) for c in run]
        if kind == "bytes":
            part = decode(bytes(codes), ECI_CHARSETS[eci] if eci is not None else configured)
            charset, because = part.charset, "alt_bytes"
        else:
            part = _wide(codes, gbk)
            charset, because = part.charset, part.because
        parts.append(part.text)
    if eci is not None:
        charset, because = ECI_CHARSETS[eci], f"eci_{eci:06d}"
    return Decoded("".join(parts), charset, because)


def best_effort(items: Iterable[Item]) -> str:
    """The readable part of a damaged scan; U+FFFD for the rest."""
    return "".join(s if isinstance(s, str) else chr(s) if _is_scalar(s) and s > 0xFF else "\ufffd" for s in items)


def _kind(item: Item) -> str:
    if isinstance(item, str):
        return "text"
    return "bytes" if item <= 0xFF else "wide"


def _is_scalar(code: int) -> bool:
    return 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF


def _gbk(code: int) -> str | None:
    """The character of a decimal that consists of two (GBK) or four (GB18030) bytes; None if it is none."""
    if not 0x8140 <= code <= 0xFFFFFFFF or 0xFFFF < code < 0x81308130:
        return None
    try:
        text = code.to_bytes(2 if code <= 0xFFFF else 4, "big").decode("gb18030")
    except UnicodeDecodeError:
        return None
    return text if len(text) == 1 else None


def _is_gbk(codes: list[int], alt: Alt) -> bool:
    if alt != "auto":
        return alt == "gbk"
    wide = [c for c in codes if c > 0xFF]
    only_gbk = [c for c in wide if not is_chinese(c) and _gbk(c) is not None]
    only_unicode = [c for c in wide if (is_chinese(c) or c > 0xFFFF) and _gbk(c) is None]
    if only_gbk and only_unicode:
        raise Undecodable(f"Alt codes of two kinds: {only_gbk[0]} and {only_unicode[0]}")
    return bool(only_gbk)


def _surrogates_joined(items: Sequence[Item]) -> list[Item]:
    """Join a rare hanzi (planes 2 and 3) typed as its two UTF-16 surrogates; no GB2312 hanzi looks like a surrogate."""
    joined: list[Item] = []
    for item in items:
        high = joined[-1] if joined else None
        if isinstance(item, int) and isinstance(high, int) and 0xD840 <= high <= 0xD884 and 0xDC00 <= item <= 0xDFFF:
            joined[-1] = 0x10000 + (high - 0xD800) * 0x400 + item - 0xDC00
        else:
            joined.append(item)
    return joined


def _wide(codes: list[int], gbk: bool) -> Decoded:
    texts = [_gbk(c) if gbk else chr(c) if _is_scalar(c) else None for c in codes]
    if None in texts:
        raise Undecodable(f"no {'GBK' if gbk else 'Unicode'} character: {codes[texts.index(None)]}")
    return Decoded("".join(t for t in texts if t), *(("gb18030", "alt_gbk") if gbk else ("unicode", "alt_unicode")))
