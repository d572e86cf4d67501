"""What the command line prints: in the chosen language, as JSON, and the tables of devices and of the standard."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.configuration.device_tables import EVERY_CLASS_ID
from common.labels import CLASSES, CONDITIONS, label
from common.messages import Item
from common.standard.texts import item_name, item_sentence, verdict_name
from drivers.catalogue import Lang
from drivers.reading import Condition

STYLES = {
    "working": "green", "in_use": "green", "attention": "yellow", "faulty": "red", "unreachable": "red",
    "absent": "red", "unknown": "magenta", "met": "green", "waived": "green", "attested": "green",
    "not_met": "bold red", "unproven": "magenta", "not_required": "dim",
}  # fmt: skip
MARKS = {  # one column wide in every font: ● and the like take two columns in Chinese fonts
    "working": "✓", "in_use": "✓", "attention": "!", "faulty": "✗", "unreachable": "~", "absent": "-", "unknown": "?",
    "met": "✓", "waived": "✓", "attested": "✓", "not_met": "✗", "unproven": "?", "not_required": " ",
}  # fmt: skip


class Terms:
    """`say("中文", "English")` returns the text in the chosen language."""

    def __init__(self, lang: Lang) -> None:
        self.lang: Lang = lang

    def __call__(self, zh: str, en: str) -> str:
        return zh if self.lang == "zh" else en


def print_json(value: Any) -> None:
    """Print as `--json` does: indented, UTF-8, structs as objects."""
    print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))


def console() -> Console:
    """Standard output; wide enough for the texts if it is not a terminal."""
    wide = Console()
    return wide if wide.is_terminal else Console(width=140)


class ShownAs(NamedTuple):
    """What is shown instead of a device's name and of the labels of its condition, in Chinese and English."""

    name: tuple[str, str]
    conditions: Mapping[Condition, tuple[str, str]] = {}  # never changed


def device_table(devices: Sequence[dict[str, Any]], say: Terms, shown_as: ShownAs | None = None) -> Table:
    """A table of devices, from their form in `--json`."""
    table = Table(title=say("设备", "Devices"), title_justify="left", header_style="bold", expand=True, box=SIMPLE_HEAD)
    for title in (say("设备", "device"), say("状况", "condition"), say("说明", "what"), say("怎么办", "what to do")):
        table.add_column(title, overflow="fold", ratio=None if title in ("设备", "device", "状况", "condition") else 1)
    for device in devices:
        kind = label(CLASSES.get(device["class"]), say.lang, device["class"])
        name = kind if device["id"] == EVERY_CLASS_ID else f"{kind} {device['id']}"
        condition, labels = device["condition"], CONDITIONS
        if shown_as is not None:
            name, labels = say(*shown_as.name), {**CONDITIONS, **shown_as.conditions}
        shown = label(labels.get(Condition(condition)), say.lang, condition)
        table.add_row(
            name,
            f"[{STYLES[condition]}]{MARKS[condition]} {shown}[/]",
            escape(device["says"]),
            escape(device["remedy"]),
        )
    return table


def standard_table(items: Sequence[Item], say: Terms) -> Table:
    """The items of the standard with their verdicts."""
    table = Table(
        title=say("建设标准", "Standard"), title_justify="left", header_style="bold", expand=True, box=SIMPLE_HEAD
    )
    for title in (say("项目", "item"), say("结论", "verdict")):
        table.add_column(title, overflow="fold")
    for title in (say("依据", "because"), say("怎么办", "what to do")):
        table.add_column(title, overflow="fold", ratio=1)
    for item in items:
        says, remedy, _ = item_sentence(item, say.lang)
        shown = f"{MARKS.get(item.verdict, '?')} {verdict_name(item.verdict, say.lang)}"
        table.add_row(
            item_name(item.item, say.lang), f"[{STYLES.get(item.verdict, '')}]{shown}[/]", escape(says), escape(remedy)
        )
    return table
