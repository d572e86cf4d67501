"""`devices`: the devices found on this machine, with stable identities and the tables to paste."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.output import Terms, print_json
from agent.control.socket import NoDaemon, send_request
from agent.devices.discovery import Findings, find_devices
from common.labels import CLASSES, label
from drivers.reading import Found, YinongError
from drivers.table import CLASSES as TABLE


def devices(say: Terms, socket: Path, *, as_json: bool) -> int:
    """As the daemon finds them if one runs (it may read what this user may not), else as found here."""
    findings = _from_daemon(socket) or find_devices()
    if as_json:
        print_json({"devices": [_json(one) for one in findings.found], "could_not_look": findings.could_not_look})
    else:
        _show(say, findings.found, findings.could_not_look)
    return 2 if findings.could_not_look and not findings.found else 0


def _from_daemon(socket: Path) -> Findings | None:
    try:
        for line in send_request(socket, {"ask": "devices"}, 20):
            if "answer" in line:
                return msgspec.convert(line["answer"], Findings)
    except (NoDaemon, TimeoutError):
        return None
    return None


def table_of(one: Found, id: str) -> str:
    """The `[[device]]` table of a found device, for agent.toml."""
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
        "class": one.device_class,
        "identity": one.identity,
        "label": one.label,
        "options": dict(one.options),
        "note": one.note,
        "toml": table_of(one, one.device_class),
    }


def _show(say: Terms, found: Sequence[Found], failed: dict[str, str]) -> None:
    numbers: dict[str, int] = {}
    for one in found:
        numbers[one.device_class] = numbers.get(one.device_class, 0) + 1
        number = numbers[one.device_class]
        id = one.device_class if number == 1 else f"{one.device_class}-{number}"
        print(f"# {label(CLASSES.get(one.device_class), say.lang, one.device_class)}: {one.label}  [{one.identity}]")
        if one.note:
            print(f"# {one.note}")
        print(table_of(one, id), end="\n\n")
    for kind in TABLE:
        if kind in failed:
            print(f"# {label(CLASSES.get(kind), say.lang, kind)}: {failed[kind]}")
        elif not numbers.get(kind):
            print("# " + label(CLASSES.get(kind), say.lang, kind) + say("：没有检测到", ": none found on this machine"))
