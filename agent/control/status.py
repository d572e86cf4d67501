"""What the daemon answers about itself and its devices, to the command line over the socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from agent.context import Context
from agent.control.socket import Line, RequestHandler
from agent.devices.checks import station_json
from agent.devices.devices import Devices
from agent.devices.discovery import find_devices
from agent.devices.state import device_json
from agent.storage import Storage
from agent.uplink.uplink import Uplink
from common.messages import Heartbeat
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import LinkProblem
from drivers.catalogue import Lang


class StatusRequests:
    """`status`, `devices`, `check`, `measure` and `outbox`."""

    def __init__(
        self,
        context: Context,
        storage: Storage,
        devices: Devices,
        uplink: Uplink,
        heartbeat: Callable[[], Awaitable[Heartbeat]],
    ) -> None:
        self._context, self._writer, self._budget = context, storage.writer, storage.budget
        self._states, self._checks, self._heartbeat = devices.states, devices.checks, heartbeat
        self._link, self._delivery = uplink.link, uplink.delivery

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
        depth = await self._writer.run_in_thread(lambda box: box.depth())
        return {
            "station": station_json(self._context.settings.terminal),
            "version": self._context.version,
            "link": self._link_now(lang),
            "heartbeat": msgspec.to_builtins(await self._heartbeat()),
            "outbox": depth._asdict(),
            "flash": self._budget.status(),
            "devices": [device_json(seen, lang) for seen in self._states.devices.values()],
        }

    def _link_now(self, lang: Lang) -> dict[str, Any]:
        """The link's state, and every problem of it in a sentence with its remedy."""
        state = self._link.state
        rejected = {rejection.problem.code: rejection.problem for rejection in self._delivery.rejections}
        problems = {
            problem.code: problem for problem in (state.problem, *rejected.values(), *state.warnings) if problem
        }
        words = [{"code": one.code, "detail": one.detail, **_texts(one, lang)} for one in problems.values()]
        return {**state.json(), "held": len(self._delivery.rejections), "troubles": words}

    async def _check(self, request: Line) -> AsyncIterator[Line]:
        yield {"answer": await self._checks.check(request.get("device"), _lang(request))}

    async def _outbox(self, _request: Line) -> AsyncIterator[Line]:
        yield {"answer": (await self._writer.run_in_thread(lambda box: box.depth()))._asdict()}

    async def _measure(self, request: Line) -> AsyncIterator[Line]:
        yield {"answer": device_json(await self._checks.measure(), _lang(request))}


def _texts(problem: LinkProblem, lang: Lang) -> dict[str, str | None]:
    sentence = link_sentence(problem, lang)
    return {"says": sentence.says, "remedy": sentence.remedy, "who": sentence.who}


def _lang(request: Line) -> Lang:
    return "en" if request.get("lang") == "en" else "zh"
