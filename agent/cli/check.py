"""`check` and `measure`: by the running daemon if there is one, else by polling the devices here."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.output import Terms, console, device_table, print_json, standard_table
from agent.configuration.device_tables import read_devices
from agent.configuration.settings import Loaded, load
from agent.control.socket import NoDaemon, send_request
from agent.devices.checks import check_report, verdicts_now
from agent.devices.state import DeviceState, device_json
from agent.devices.watched import poll_once
from common.clock import SystemClock, rfc3339
from common.labels import CLASSES, label
from common.messages import Item
from drivers.reading import Condition, Reading, YinongError
from drivers.table import CLASSES as TABLE

CHECKED, FAILED, COULD_NOT_CHECK = 0, 1, 2  # exit codes: nothing is not_met; something is; could not check
RATES = (
    ("down_mbps", "下行", "down", "Mbit/s"), ("up_mbps", "上行", "up", "Mbit/s"),
    ("line_mbps", "线路", "line", "Mbit/s"), ("rtt_ms", "往返时间", "round trip", "ms"),
)  # fmt: skip
DAEMON_TIMEOUT_S = 40  # the slowest class's budget, a measurement of the line, and a commit


def check(say: Terms, config: Path, socket: Path, device: str | None, *, as_json: bool) -> int:
    """Check all devices (or one) once."""
    report = _from_daemon(say, socket, {"ask": "check", "device": device, "lang": say.lang}) or _own_check(
        say, config, device
    )
    if as_json:
        print_json(report)
    else:
        _show(say, report, everything=device is None)
    devices: list[dict[str, Any]] = report["devices"]
    if not devices:
        return COULD_NOT_CHECK
    if all(one["condition"] == Condition.UNKNOWN for one in devices):
        return COULD_NOT_CHECK
    return FAILED if any(item["verdict"] == "not_met" for item in report["standard"]) else CHECKED


def measure(say: Terms, config: Path, socket: Path, *, as_json: bool) -> int:
    """Measure the line; takes some seconds and some megabytes."""
    print(say("正在测速……", "Measuring the line …"), file=sys.stderr)
    device = _from_daemon(say, socket, {"ask": "measure", "lang": say.lang}) or _own_measurement(say, config)
    if as_json:
        print_json(device)
    else:
        console().print(device_table([device], say))
        for name, zh, en, unit in RATES:
            value = device["measures"].get(name)
            shown = say("未测出", "not measured") if value is None else f"{value:g} {unit}"
            print(say(f"{zh}：{shown}", f"{en}: {shown}"))
    return COULD_NOT_CHECK if device["condition"] == Condition.UNKNOWN else CHECKED


def _from_daemon(say: Terms, socket: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """The daemon's answer; None if none runs."""
    try:
        for line in send_request(socket, request, DAEMON_TIMEOUT_S):
            if "error" in line:
                raise YinongError(line["error"])
            if "answer" in line:
                return line["answer"]
    except NoDaemon:
        return None
    raise YinongError(say("监测程序中断了回应", "the running daemon broke off its answer"))


def _own_check(say: Terms, config: Path, device: str | None) -> dict[str, Any]:
    loaded = _loaded(say, config)
    wanted = [(kind, driver) for kind, driver in loaded.devices if _matches(device, kind.name, driver.id)]
    wrong = [one for one in loaded.disabled if _matches(device, one.kind.name, one.id)]
    if device is not None and not wanted and not wrong:
        raise YinongError(say(f"没有名为 {device} 的设备", f"there is no device {device}"))
    clock = SystemClock()

    def report_progress(seen: DeviceState) -> None:
        print(say("已检查 ", "checked ") + label(CLASSES.get(seen.device_class), say.lang, seen.key), file=sys.stderr)

    seen = asyncio.run(poll_once(wanted, Path("/"), clock, report_progress))
    for kind, id, reason in wrong:
        reading = Reading(condition=Condition.UNKNOWN, reason=reason)
        seen.append(DeviceState(kind.name, id, reading, rfc3339(clock.now()), clock.quality()))
    readings: dict[str, list[Any]] = {}
    for one in seen:
        readings.setdefault(one.device_class, []).append((one.id, one.reading))
    items = verdicts_now(loaded.settings, readings, clock)
    terminal = loaded.settings.terminal if loaded.settings else None
    if device is not None:
        classes = {one.device_class for one in seen}
        items = tuple(item for item in items if item.item in classes)
    return msgspec.to_builtins(check_report(terminal, seen, items, say.lang))


def _matches(device: str | None, device_class: str, id: str) -> bool:
    return device is None or device in (device_class, id, f"{device_class}/{id}")


def _own_measurement(say: Terms, config: Path) -> dict[str, Any]:
    from drivers.broadband.driver import Broadband

    clock = SystemClock()
    for kind, driver in _loaded(say, config).devices:
        if isinstance(driver, Broadband):
            reading = asyncio.run(driver.measure(Path("/")))
            seen = DeviceState(kind.name, driver.id, reading, rfc3339(clock.now()), clock.quality())
            return msgspec.to_builtins(device_json(seen, say.lang))
    raise YinongError(say("没有设置宽带", "no broadband is configured"))


def _loaded(say: Terms, config: Path) -> Loaded:
    """The configuration, or the defaults if there is none yet (reported on stderr)."""
    if not config.exists():
        print(
            say(
                f"没有配置文件 {config}：按默认方式检查本机，站点未知",
                f"no {config}: this machine by default, station unknown",
            ),
            file=sys.stderr,
        )
        return Loaded(None, read_devices(None, TABLE, _ignored).configured)
    loaded = load(config)
    for mistake in loaded.mistakes:
        print(mistake.text(say.lang), file=sys.stderr)
    return loaded


def _ignored(_path: str, _value: str, _zh: str, _en: str) -> None:
    """Devices that are found automatically have no table that could be wrong."""


def _show(say: Terms, report: dict[str, Any], *, everything: bool) -> None:
    screen = console()
    station = report["station"]
    if station:
        screen.print(
            say(f"站点 {station['number']}（{station['name']}）", f"Station {station['number']} ({station['name']})")
        )
    screen.print(device_table(report["devices"], say))
    if report["standard"]:
        items = [
            msgspec.convert({k: row[k] for k in ("item", "verdict", "because", "params")}, Item)
            for row in report["standard"]
        ]
        screen.print(standard_table(items, say))
    if everything:
        counts = {v: sum(row["verdict"] == v for row in report["standard"]) for v in ("not_met", "unproven")}
        screen.print(
            say(
                f"不达标 {counts['not_met']} 项，待核实 {counts['unproven']} 项。",
                f"{counts['not_met']} not met, {counts['unproven']} unproven.",
            )
        )
