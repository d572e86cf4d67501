"""Identifiers of the private English that decision 26 ended: none comes back, in code, tests or the documents beside them.

`words_that_are_gone.txt` lists them, each with what it is called now: whole identifiers only, and none that is an English word
of the field, or a name on the wire, in SQL or in a file.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("agent", "center", "common", "drivers", "tests", "systemd")
DOCUMENTS = ("README.md", "docs/reliability.md", "docs/by-usb-stick.md")
PAST = ("tests/compat",)  # what the version before was and wrote

GONE_TEXT = Path(__file__).with_name("words_that_are_gone.txt")


def test_no_identifier_of_the_private_english_is_left() -> None:
    gone = {line.split()[0] for line in GONE_TEXT.read_text("ascii").splitlines()}
    files = [
        file for room in ROOMS for file in (ROOT / room).rglob("*") if file.suffix in (".py", ".md", ".sh", ".service")
    ]
    files += [ROOT / name for name in DOCUMENTS]
    past = [ROOT / name for name in PAST]
    found = {
        (str(file.relative_to(ROOT)), word)
        for file in files
        if file != Path(__file__) and not any(folder in file.parents for folder in past)
        for word in gone & set(re.findall(r"\w+", file.read_text("utf-8")))
    }
    assert len(files) > 300
    assert len(gone) > 80
    assert found == set()
