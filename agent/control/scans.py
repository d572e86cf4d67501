"""Requests about scans over the socket: the live view, stored captures, resending, and signing cards."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from agent.control.socket import Line, RequestHandler
from agent.outbox.archive import STEP, CaptureQuery, CaptureReader, count_captures, replay_state
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from agent.scans.captures import Captures
from agent.scans.card_actions import CardAnswer
from agent.uplink.delivery import Delivery
from common.clock import Clock
from common.codes.control_cards import Card, card_text
from drivers.reading import YinongError


class Resend(msgspec.Struct, frozen=True, kw_only=True):
    """A range of captures of an outbox id, both ends included."""

    first: int
    last: int
    outbox: str = ""  # "": the current one


class ScanRequests:
    """`key` signs control cards; None if it cannot be read."""

    def __init__(
        self, clock: Clock, writer: Writer, captures: Captures, delivery: Delivery, station: str, key: bytes | None
    ) -> None:
        self._clock, self._writer, self._captures, self._delivery = clock, writer, captures, delivery
        self._station, self._key = station, key

    def handlers(self) -> dict[str, RequestHandler]:
        return {"scan": self._live, "scans": self._stored, "resend": self._resend, "cards": self._cards}

    async def _live(self, _request: Line) -> AsyncIterator[Line]:
        async for one in self._captures.subscribe():
            item: dict[str, Any] = msgspec.to_builtins(one)
            if isinstance(one, CardAnswer):
                yield {"card": item}
            else:
                item["start"], item["end"] = one.start_mono_ms / 1000, one.end_mono_ms / 1000
                yield {"capture": item}

    async def _stored(self, request: Line) -> AsyncIterator[Line]:
        """Stored captures, newest first; the whole answer is never in memory."""
        reader = CaptureReader(_converted(request.get("wanted", {}), CaptureQuery))
        while not reader.done:
            for stored in await self._writer.run_in_thread(reader.step):
                yield {"scan": msgspec.to_builtins(stored)}
        yield {"answer": {"given": reader.returned, "unreadable": reader.unreadable}}

    async def _resend(self, request: Line) -> AsyncIterator[Line]:
        """Store a range to be replayed; delivery sends it after the backlog, also after a restart."""
        resend = _converted(request.get("range"), Resend)
        outbox = resend.outbox or await self._writer.run_in_thread(lambda box: box.id)
        first = await self._writer.run_in_thread(lambda box: box.rowid(outbox, resend.first))
        last = await self._writer.run_in_thread(lambda box: box.rowid(outbox, resend.last))
        if not first or not last or first > last:
            raise YinongError(
                f"记录编号 {outbox} 里没有 {resend.first} 到 {resend.last} 这一段 / "
                f"outbox {outbox} has no range {resend.first} to {resend.last}"
            )
        captures = 0
        for at in range(first, last + 1, STEP):
            end = min(last, at + STEP - 1)
            captures += await self._writer.run_in_thread(lambda box, at=at, end=end: count_captures(box, at, end))
        if captures:
            entry = journal(
                self._clock, "resend_asked", outbox=outbox, first=resend.first, last=resend.last, captures=captures
            )
            await self._writer.commit([entry], replay_state(first, last))
            self._delivery.start_replay()
        yield {"answer": {"outbox": outbox, "first": resend.first, "last": resend.last, "captures": captures}}

    async def _cards(self, request: Line) -> AsyncIterator[Line]:
        """The signed texts of the requested cards."""
        cards = _converted(request.get("cards"), list[Card])
        if self._key is None:
            raise YinongError(
                "控制卡密钥不可用，见运行日志 / the key of the control cards cannot be read: see the daemon's log"
            )
        key = self._key
        texts = [card_text(key, self._station, card) for card in cards]
        yield {"answer": {"station": self._station, "texts": texts}}


def _converted(value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise YinongError(f"请求有误 / wrong request: {error}") from error
