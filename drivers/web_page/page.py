"""Contents of a page: its text, its title, and whether it contains a text."""

import codecs
import re

# A closed list: some codecs of Python (punycode, idna) are extremely slow on long input. Latin-1 is not in it: servers
# declare it by default for pages in UTF-8 and GBK.
_CHARSETS = {
    "utf-8": "utf-8", "utf8": "utf-8", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "x-gbk": "gb18030",
    "big5": "big5", "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}  # fmt: skip
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,20})")
_IN_META = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,20})")
_META_WITHIN = 4096
_TITLE_LENGTH = 80


def text_of(body: bytes, content_type: str, whole: bool) -> tuple[str, str]:
    """(text, charset): from the header, else the page's meta, else UTF-8 if valid, else GB18030."""
    in_header, in_meta = _IN_HEADER.search(content_type.lower()), _IN_META.search(body[:_META_WITHIN].lower())
    by_header = _CHARSETS.get(in_header[1] if in_header else "")
    by_meta = _CHARSETS.get(in_meta[1].decode("ascii") if in_meta else "")
    if by_meta and by_meta.startswith("utf-16"):  # the meta was readable, so it is not (as browsers do)
        by_meta = "utf-8"
    for charset in (*filter(None, (by_header, by_meta)), "utf-8", "gb18030"):
        try:
            return codecs.getincrementaldecoder(charset)("strict").decode(body, whole).removeprefix("\ufeff"), charset
        except UnicodeError:  # also a UTF-16 without its mark
            continue
    return body.decode("utf-8", "replace"), "none"


def title_of(text: str) -> str | None:
    """The text of the first `<title>`, at most 80 characters; None if there is none."""
    start = re.search(r"<title[\s>/]", text, re.IGNORECASE)
    opened = text.find(">", start.start()) if start else -1
    if opened < 0:
        return None
    inside = text[opened + 1 : opened + 2000].partition("<")[0]
    words = "".join(char if char.isprintable() else " " for char in _unescaped(inside)).split()
    return " ".join(words)[:_TITLE_LENGTH] or None


def contains(text: str, expected: str) -> bool:
    """The page contains the text, literally or with character references."""
    return expected in text or ("&" in text and expected in _unescaped(text))


def _unescaped(text: str) -> str:
    if "&" not in text:
        return text
    import html  # its table of 2,000 names is loaded only if a page needs it

    return html.unescape(text)
