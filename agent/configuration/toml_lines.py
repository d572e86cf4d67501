"""Line numbers in a TOML file, which tomllib does not provide. Pure, for messages only."""

import re
from collections import Counter

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#=]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*="""
)
_LONG_STRING = re.compile("\"\"\"|'''")


def lines_of(text: str) -> dict[str, int]:
    """Path -> line, both counted from 1: `broker`, `broker.port`, `device[2]`, `device[2].address`.

    For text that tomllib accepts; a similar line within a multi-line string is not taken for a key. Inline tables and
    elements of lists have no entry: `line_of` falls back to what contains them.
    """
    lines: dict[str, int] = {}
    tables: Counter[str] = Counter()
    here, long_string = "", False
    for number, line in enumerate(text.split("\n"), 1):
        inside, long_string = long_string, long_string ^ (len(_LONG_STRING.findall(line)) % 2 == 1)
        if inside:
            continue
        if header := _HEADER.match(line):
            here = _header_path(_parts(header[2]), tables, opens=header[1] == "[[")
            lines.setdefault(here, number)
        elif key := _KEY.match(line):
            lines.setdefault(".".join(filter(None, (here, *_parts(key[1])))), number)
    return lines


def line_of(path: str, lines: dict[str, int]) -> int | None:
    """The line of `path`, or of the nearest thing that contains it; None if it is not in the file."""
    while path:
        if path in lines:
            return lines[path]
        path = re.sub(r"(\[\d+\]|(^|\.)[^.\[\]]*)$", "", path)
    return None


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _header_path(parts: list[str], tables: Counter[str], *, opens: bool) -> str:
    """The path of a header; elements of arrays of tables are numbered in order."""
    path = ""
    for depth, part in enumerate(parts, 1):
        path = f"{path}.{part}" if path else part
        if opens and depth == len(parts):
            tables[path] += 1
        if tables[path]:
            path = f"{path}[{tables[path]}]"
    return path
