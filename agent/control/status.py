"""What the daemon answers: to the command line over the socket, and to the console's commands."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from agent.configuration.settings import Settings
from agent.control.commands import Doer
from agent.control.socket import Line, RequestHandler
from agent.devices.checks import check_report, station_json, verdicts_now
from agent.devices.discovery import find_devices
from agent.devices.poller import Poller
from agent.devices.state import DeviceStates, device_json
from agent.host.log import recent_lines
from agent.host.write_budget import WriteBudget
from agent.outbox.writer import Writer
from agent.reports.telemetry import Reports
from agent.uplink.delivery import Delivery
from agent.uplink.link import Link
from common.clock import Clock
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import Trouble
from common.standard.texts import item_name
from drivers.catalogue import Lang
from drivers.reading import Reading, YinongError

MAX_LOG_LINES = 100


class Parts(NamedTuple):
    """The running parts that answers are made from."""

    settings: Settings
    version: str
    clock: Clock
    writer: Writer
    link: Link
    delivery: Delivery
    device_states: DeviceStates
    poller: Poller
    reports: Reports
    flash: WriteBudget


class StatusRequests:
    """All of them, over the running parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def handlers(self) -> dict[str, RequestHandler]:
        return {
            "status": self._status,
            "devices": self._devices,
            "check": self._check,
            "outbox": self._outbox,
            "measure": self._measure,
        }

    def over_mqtt(self) -> dict[str, Doer]:
        return {
            "check": self._command_check,
            "measure": self._command_measure,
            "log": self._command_log,
            "status": self._command_status,
        }

    async def _devices(self, _asked: Line) -> AsyncIterator[Line]:
        yield {"answer": msgspec.to_builtins(await asyncio.to_thread(find_devices))}

    async def _status(self, asked: Line) -> AsyncIterator[Line]:
        yield {"answer": await self._status_now(_lang(asked))}

    async def _status_now(self, lang: Lang) -> dict[str, Any]:
        parts = self._parts
        depth = await parts.writer.run_in_thread(lambda box: box.depth())
        return {
            "station": station_json(parts.settings.terminal),
            "version": parts.version,
            "link": self._link_now(lang),
            "heartbeat": msgspec.to_builtins(await parts.reports.heartbeat()),
            "outbox": depth._asdict(),
            "flash": parts.flash.status(),
            "devices": [device_json(seen, lang) for seen in parts.device_states.devices.values()],
        }

    def _link_now(self, lang: Lang) -> dict[str, Any]:
        """The link's state, and in words all that a person should know of it: what is wrong, what to do."""
        state = self._parts.link.state
        refused = {hold.trouble.code: hold.trouble for hold in self._parts.delivery.held}
        troubles = {trouble.code: trouble for trouble in (state.trouble, *refused.values(), *state.warnings) if trouble}
        words = [{"code": one.code, "detail": one.detail, **_texts(one, lang)} for one in troubles.values()]
        return {**state._asdict(), "held": len(self._parts.delivery.held), "troubles": words}

    async def _check(self, asked: Line) -> AsyncIterator[Line]:
        yield {"answer": await self._check_now(asked.get("device"), _lang(asked))}

    async def _check_now(self, device: object, lang: Lang) -> dict[str, Any]:
        parts = self._parts
        keys = [key for key in parts.device_states.devices if device is None or device in (key, *key.split("/"))]
        if not keys:
            raise YinongError(f"没有名为 {device} 的设备 / there is no device {device}")
        seen = await parts.poller.poll_now(keys)
        readings: dict[str, list[tuple[str, Reading]]] = {}
        # the newest readings, not the confirmed ones: a person asks and waits
        for one in parts.device_states.devices.values():
            readings.setdefault(one.device_class, []).append((one.id, one.reading))
        items = verdicts_now(parts.settings, readings, parts.clock)
        if device is not None:
            items = tuple(item for item in items if item.item in {one.device_class for one in seen})
        return check_report(parts.settings.terminal, seen, items, lang)

    async def _outbox(self, _asked: Line) -> AsyncIterator[Line]:
        yield {"answer": (await self._parts.writer.run_in_thread(lambda box: box.depth()))._asdict()}

    async def _measure(self, asked: Line) -> AsyncIterator[Line]:
        yield {"answer": await self._measure_now(_lang(asked))}

    async def _measure_now(self, lang: Lang) -> dict[str, Any]:
        key, measured = await self._parts.poller.measure_now("broadband")
        return device_json(self._parts.device_states.devices[key]._replace(reading=measured), lang)

    async def _command_check(self, options: dict[str, Any]) -> dict[str, Any]:
        report = await self._check_now(options.get("device"), "zh")
        return {
            "devices": {f"{d['class']}/{d['id']}": [d["condition"], d["reason"]] for d in report["devices"]},
            "standard": {item["item"]: item["verdict"] for item in report["standard"]},
        }

    async def _command_measure(self, _options: dict[str, Any]) -> dict[str, Any]:
        device = await self._measure_now("zh")
        return {"condition": device["condition"], "reason": device["reason"], "measures": device["measures"]}

    async def card_check(self) -> tuple[str, str]:
        """The control card 自检: look at everything; Chinese and English."""
        report = await self._check_now(None, "zh")
        wrong = [str(row["item"]) for row in report["standard"] if row["verdict"] == "not_met"]
        unproven = sum(row["verdict"] == "unproven" for row in report["standard"])
        named = [(item_name(item, "zh"), item_name(item, "en")) for item in wrong]
        zh = f"不达标 {len(named)} 项" + (f"({'、'.join(zh for zh, _ in named)})" if named else "")
        en = f"{len(named)} not met" + (f" ({', '.join(en for _, en in named)})" if named else "")
        return f"自检完毕:{zh},待证实 {unproven} 项", f"checked: {en}, {unproven} unproven"

    async def card_measure(self) -> tuple[str, str]:
        """The control card 测速."""
        key, measured = await self._parts.poller.measure_now("broadband")
        seen = self._parts.device_states.devices[key]._replace(reading=measured)
        return device_json(seen, "zh")["says"], device_json(seen, "en")["says"]

    async def _command_log(self, options: dict[str, Any]) -> dict[str, Any]:
        lines = options.get("lines", MAX_LOG_LINES)
        return {"lines": recent_lines(min(MAX_LOG_LINES, lines) if isinstance(lines, int) else MAX_LOG_LINES)}

    async def _command_status(self, _options: dict[str, Any]) -> dict[str, Any]:
        status = await self._status_now("zh")
        return {key: status[key] for key in ("version", "link", "outbox", "flash")}


def _texts(trouble: Trouble, lang: Lang) -> dict[str, str]:
    sentence = link_sentence(trouble, lang)
    return {"says": sentence.says, "remedy": sentence.remedy}


def _lang(asked: Line) -> Lang:
    return "en" if asked.get("lang") == "en" else "zh"
