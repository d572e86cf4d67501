"""What the daemon answers about itself and its devices, to the command line over the socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from agent.configuration.settings import Settings
from agent.control.socket import Line, RequestHandler
from agent.devices.checks import Checks, station_json
from agent.devices.discovery import find_devices
from agent.devices.state import DeviceStates, device_json
from agent.host.write_budget import WriteBudget
from agent.outbox.writer import Writer
from agent.reports.telemetry import Reports
from agent.uplink.delivery import Delivery
from agent.uplink.link import Link
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import LinkProblem
from drivers.catalogue import Lang


class Parts(NamedTuple):
    """The running parts that the answers are read from."""

    settings: Settings
    version: str
    writer: Writer
    link: Link
    delivery: Delivery
    device_states: DeviceStates
    checks: Checks
    reports: Reports
    flash: WriteBudget


class StatusRequests:
    """`status`, `devices`, `check`, `measure` and `outbox`."""

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

    async def _devices(self, _request: Line) -> AsyncIterator[Line]:
        yield {"answer": msgspec.to_builtins(await asyncio.to_thread(find_devices))}

    async def _status(self, request: Line) -> AsyncIterator[Line]:
        yield {"answer": await self.status_now(_lang(request))}

    async def status_now(self, lang: Lang) -> dict[str, Any]:
        """The documented form of `status --json`."""
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
        """The link's state, and every problem of it in a sentence with its remedy."""
        state = self._parts.link.state
        refused = {hold.problem.code: hold.problem for hold in self._parts.delivery.rejections}
        troubles = {trouble.code: trouble for trouble in (state.problem, *refused.values(), *state.warnings) if trouble}
        words = [{"code": one.code, "detail": one.detail, **_texts(one, lang)} for one in troubles.values()]
        return {**state.json(), "held": len(self._parts.delivery.rejections), "troubles": words}

    async def _check(self, request: Line) -> AsyncIterator[Line]:
        yield {"answer": await self._parts.checks.check(request.get("device"), _lang(request))}

    async def _outbox(self, _request: Line) -> AsyncIterator[Line]:
        yield {"answer": (await self._parts.writer.run_in_thread(lambda box: box.depth()))._asdict()}

    async def _measure(self, request: Line) -> AsyncIterator[Line]:
        yield {"answer": device_json(await self._parts.checks.measure(), _lang(request))}


def _texts(trouble: LinkProblem, lang: Lang) -> dict[str, str]:
    sentence = link_sentence(trouble, lang)
    return {"says": sentence.says, "remedy": sentence.remedy}


def _lang(request: Line) -> Lang:
    return "en" if request.get("lang") == "en" else "zh"
