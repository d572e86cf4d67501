"""Patterns of the product: no character class holds the same sign twice, which is how a lost full-width sign looks."""

import pytest
from support.chinese import ROOMS, ROOT, patterns, twice_in_a_class

WIDE = set("\uff0c\uff1b\uff1a\uff1f\uff01\uff08\uff09\u3001\u3002\u3000")
FOUND = [
    (f"{file.relative_to(ROOT)}:{pattern.line}  {pattern.text}", pattern)
    for room in ROOMS
    for file in sorted((ROOT / room).rglob("*.py"))
    for pattern in patterns(file.read_text("utf-8"))
]


def test_no_character_class_holds_a_sign_twice() -> None:
    assert len(FOUND) > 80, "where are the patterns?"
    wrong = [where for where, pattern in FOUND if twice_in_a_class(pattern.text)]
    assert not wrong, "\n".join(wrong)


def test_full_width_signs_are_written_as_escapes() -> None:
    """An editor that turns them into ASCII cannot break what is written so."""
    wrong = [where for where, pattern in FOUND if WIDE & set(pattern.written)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("pattern", "twice"),
    [
        ("[::]", [":"]), (r"[^\s,,;;、]", [",", ";"]), (r"x[a-z]+[A-Z::]", [":"]), (r"[,\,]", [","]), (r"[:\uff1a]", []),
        (r"[\s,;\uff0c\uff1b\u3001]", []), (r"[^\s/@:]+\Z|^[0-9a-fA-F:]+", []), ("[]a]]", []), ("[[[]", ["["]), (r"\[::\]", []),
        ("[0-90-9]", ["0-9"]), ("(::)", []), (r"[\x3a:]", [":"]), ("[-a-]", ["-"]),
    ],
)  # fmt: skip
def test_a_sign_that_stands_twice_is_found(pattern: str, twice: list[str]) -> None:
    assert twice_in_a_class(pattern) == twice


def test_patterns_are_found_by_what_uses_them_and_by_their_looks() -> None:
    source = """import re
A = re.match("a::", x)
B = Meta(pattern="[a]")
C = "[^a]"
D = "[b]+"
E = "[a, b]"
F = f"{A}[c]{{2}}"
"""
    assert {one.text for one in patterns(source)} == {"a::", "[a]", "[^a]", "[b]+", "\ufffc[c]{2}"}
