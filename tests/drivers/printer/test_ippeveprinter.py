"""Against CUPS' own printer, ippeveprinter, as a process on loopback; pyipp queries the same device for comparison."""

import asyncio
from pathlib import Path
from typing import Any

import pyipp

from drivers.printer import wire
from drivers.printer.driver import Printer
from drivers.printer.ipp import MAX_BODY, Operation, Range, Resolution, Value, decode, encode
from drivers.reading import Condition


async def test_from_idle_to_toner_low_to_empty_to_switched_off(eve_printer: Any, tmp_path: Path) -> None:
    printer = Printer(id="main", address=eve_printer.address, cups="off")

    async def look() -> tuple[Condition, str, object]:
        reading = await printer.look(tmp_path)
        return reading.condition, reading.reason.code, reading.measures["toner_percent"]

    assert await look() == (Condition.WORKING, "ok", 75)
    await asyncio.to_thread(eve_printer.supplies, 3)
    assert await look() == (Condition.ATTENTION, "toner_low", 3)
    await asyncio.to_thread(eve_printer.supplies, 0)
    assert await look() == (Condition.FAULTY, "toner_empty", 0)
    await asyncio.to_thread(eve_printer.supplies, 80)
    await asyncio.to_thread(eve_printer.out_of_paper)
    assert await look() == (Condition.FAULTY, "paper_out", 80)
    await asyncio.to_thread(eve_printer.kill)
    assert await look() == (Condition.UNREACHABLE, "refused", None)


async def test_pyipp_sees_the_same_printer(eve_printer: Any, tmp_path: Path) -> None:
    await asyncio.to_thread(eve_printer.supplies, 3)
    reading = await Printer(id="main", address=eve_printer.address).look(tmp_path)
    async with pyipp.IPP(host="localhost", port=eve_printer.port, base_path="/ipp/print") as client:
        theirs = await client.printer()
    raw = reading.evidence[0].raw
    assert theirs.state.printer_state == {3: "idle", 4: "printing", 5: "stopped"}[raw["printer-state"][0]]
    assert [theirs.state.reasons] == raw["printer-state-reasons"]
    assert theirs.info.manufacturer + " " + theirs.info.model == raw["printer-make-and-model"][0]


async def test_every_attribute_of_the_device_decodes_as_in_pyipp(eve_printer: Any) -> None:
    address = wire.Address.parse(eve_printer.address)
    question = encode(Operation.GET_PRINTER_ATTRIBUTES, address.uri, ["all", "media-col-database"])
    answer = await wire.request("POST", address, question, budget_s=5, max_body=MAX_BODY)
    (ours,) = decode(answer.body).printers()
    theirs = pyipp.parser.parse(answer.body)["printers"][0]
    assert len(ours) > 80
    compared = 0
    for name, values in ours.items():
        plain = [_as_pyipp(value) for value in values]
        if any(value is NotImplemented for value in plain) or name not in theirs:
            continue
        assert theirs[name] in (plain, plain[0]), name
        compared += 1
    assert compared > 60


def _as_pyipp(value: Value) -> Any:
    """pyipp's form of a value; what it reads in another way (collections, dates, reserved strings) is left out."""
    if isinstance(value, dict | Resolution | Range) or value is None:
        return NotImplemented
    if isinstance(value, bytes):
        return value.decode() if value.isascii() and b"=" in value else NotImplemented
    return value
