"""`devices`: everything found on this machine, with its stable identity and the table to paste."""

import json
from pathlib import Path
from typing import Any

from agent.cli.terms import Terms, print_json
from agent.words import CLASSES, word
from drivers.reading import DriverError, Found, YinongError
from drivers.table import CLASSES as TABLE


def devices(say: Terms, *, as_json: bool) -> int:
    """Look through sysfs and friends; opens no device."""
    found: list[Found] = []
    failed: dict[str, str] = {}
    for kind in TABLE.values():
        try:
            found += kind.find(Path("/"))
        except (DriverError, OSError) as error:
            failed[kind.name] = str(error)
    if as_json:
        print_json({"devices": [_json(one) for one in found], "could_not_look": failed})
    else:
        _show(say, found, failed)
    return 2 if failed and not found else 0


def table_of(one: Found, id: str) -> str:
    """Its `[[device]]` table for agent.toml."""
    options = {key: value for key, value in one.options.items() if value is not None}
    lines = [f"{key} = {_toml(value)}" for key, value in {"class": one.device_class, "id": id, **options}.items()]
    return "\n".join(["[[device]]", *lines])


def _toml(value: str | int | float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a TOML basic string is escaped like JSON's
    if value is None:
        raise YinongError("TOML has no null")
    return str(value)


def _json(one: Found) -> dict[str, Any]:
    return {
        "class": one.device_class, "identity": one.identity, "label": one.label, "options": dict(one.options),
        "note": one.note, "toml": table_of(one, one.device_class),
    }  # fmt: skip


def _show(say: Terms, found: list[Found], failed: dict[str, str]) -> None:
    numbers: dict[str, int] = {}
    for one in found:
        numbers[one.device_class] = numbers.get(one.device_class, 0) + 1
        number = numbers[one.device_class]
        id = one.device_class if number == 1 else f"{one.device_class}-{number}"
        print(f"# {word(CLASSES.get(one.device_class), say.lang, one.device_class)}: {one.label}  [{one.identity}]")
        if one.note:
            print(f"# {one.note}")
        print(table_of(one, id), end="\n\n")
    for kind in TABLE:
        if kind in failed:
            print(f"# {word(CLASSES.get(kind), say.lang, kind)}: {failed[kind]}")
        elif not numbers.get(kind):
            print("# " + word(CLASSES.get(kind), say.lang, kind) + say(":本机没有找到", ": none found on this machine"))
