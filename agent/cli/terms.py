"""The language of one run of the command line."""

import json
from typing import Any

import msgspec

from drivers.catalogue import Lang


class Terms:
    """`say("中文", "English")` gives the one that was chosen."""

    def __init__(self, lang: Lang) -> None:
        self.lang: Lang = lang

    def __call__(self, zh: str, en: str) -> str:
        return zh if self.lang == "zh" else en


def print_json(value: Any) -> None:
    """The one form of `--json`: indented, UTF-8, structs as objects."""
    print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))
