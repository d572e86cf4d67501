"""Periodic reports: a heartbeat every minute, telemetry every five minutes.

Heartbeats show that the daemon is alive now and are never stored; telemetry waits for a link, in memory first and written to
the disk once an hour, so that a quiet station writes almost nothing. Once the day's flash budget is spent it stays in memory
at lower resolution.
"""

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

import msgspec

from agent.devices.state import DeviceStates
from agent.host.write_budget import WriteBudget
from agent.outbox import spool
from agent.outbox.outbox import Outbox
from agent.outbox.rows import Backlog
from agent.outbox.stamps import stamped
from agent.outbox.writer import Writer
from agent.uplink.link import Link
from common.clock import Clock
from common.messages import Heartbeat, Telemetry
from common.mqtt.errors import LinkLost, Rejected

log = logging.getLogger(__name__)

HEARTBEAT_S = 60
TELEMETRY_S = 300
SPOOL_AFTER_SAMPLES = 12  # an hour in memory before they are written to the disk together
MAX_SAMPLES_IN_MEMORY = 48  # if the disk is full or the flash budget is spent
SPOOL_BATCH = 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PeriodicReports:
    """Two loops for the daemon's task group."""

    def __init__(
        self,
        states: DeviceStates,
        writer: Writer,
        link: Link,
        clock: Clock,
        run_id: str,
        spool_bytes: int,
        budget: WriteBudget,
        root: Path = Path("/"),
    ) -> None:
        self._states, self._writer, self._link, self._clock = states, writer, link, clock
        self._run_id, self._spool_bytes, self._budget, self._root = run_id, spool_bytes, budget, root
        self._start_mono_ms = clock.mono_ms()
        self._unsent: list[spool.Sample] = []
        self._samples = 0  # of this run

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats())
            group.create_task(self._telemetry())

    async def heartbeat(self) -> Heartbeat:
        """The heartbeat of this moment; reads the outbox."""
        backlog, oldest_s = await self._writer.run_in_thread(self._backlog_and_age)
        return Heartbeat(
            **stamped(self._clock),
            run=self._run_id,
            connection=self._link.state.connections,
            uptime_s=(self._clock.mono_ms() - self._start_mono_ms) // 1000,
            waiting=backlog.waiting,
            oldest_waiting_s=oldest_s,
            verdicts=self._states.verdict_counts(),
            last_seq=backlog.last_seq,
            outbox=backlog.outbox,
        )

    def _backlog_and_age(self, box: Outbox) -> tuple[Backlog, int | None]:
        backlog = box.backlog()
        oldest = box.waiting(0, 1)
        if not oldest:
            return backlog, None
        stamp = msgspec.json.decode(oldest[0].body, type=_Stamp)
        if stamp.boot != self._clock.boot:
            return backlog, (self._clock.mono_ms() // 1000)  # at least as old as this boot
        return backlog, max(0, self._clock.mono_ms() - stamp.mono_ms) // 1000

    async def _heartbeats(self) -> None:
        while True:
            await self._link.up.wait()
            try:
                await self._link.publish("heartbeat", msgspec.json.encode(await self.heartbeat()), qos=0)
            except LinkLost:
                pass  # the link reports it itself
            await self._clock.sleep(HEARTBEAT_S)

    async def _telemetry(self) -> None:
        await self._clock.sleep(30)  # until the first polls are done
        while True:
            sample = Telemetry(**stamped(self._clock), measures=await self.measures())
            self._samples += 1
            self._unsent.append(spool.Sample(self._samples, msgspec.json.encode(sample)))
            try:
                if self._link.up.is_set():
                    await self._send_unsent()
                    await self._send_spooled()
                if len(self._unsent) >= SPOOL_AFTER_SAMPLES:
                    await self.write_spool()
            except sqlite3.Error as error:  # a full disk: the samples in memory stay there
                log.error("telemetry: %s", error)
            spool.thin(self._unsent, MAX_SAMPLES_IN_MEMORY)
            await self._clock.sleep(TELEMETRY_S)

    async def measures(self) -> dict[str, int | float]:
        """`<class>.<id>.<measure>` of every numeric measure, and `agent.self.<measure>` of the daemon itself."""
        backlog = await self._writer.run_in_thread(lambda box: box.backlog())
        own = {
            **process_measures(self._root),
            "outbox_file_bytes": backlog.file_bytes,
            "outbox_waiting": backlog.waiting,
        }
        if self._budget.day_bytes is not None:
            own["flash_bytes_day"] = self._budget.day_bytes
        return {**self._of_devices(), **{f"agent.self.{name}": value for name, value in own.items()}}

    def _of_devices(self) -> dict[str, int | float]:
        return {
            f"{state.device_class}.{state.id}.{name}": value
            for state in self._states.devices.values()
            for name, value in state.reading.measures.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    async def write_spool(self) -> None:
        """Write the samples in memory to the disk: hourly without a link, and at a clean stop. Raises sqlite3.Error.

        Not once the day's flash budget is spent.
        """
        if (bodies := [sample.body for sample in self._unsent]) and not self._budget.is_spent():
            await self._writer.run_in_thread(lambda box: spool.append(box, bodies, self._spool_bytes))
            del self._unsent[: len(bodies)]

    async def _send_unsent(self) -> None:
        while self._unsent:
            try:
                await self._link.publish("telemetry", self._unsent[-1].body)  # live first
            except (LinkLost, Rejected):
                return
            self._unsent.pop()

    async def _send_spooled(self) -> None:
        """Send a batch of the spool, oldest first; deleted in one transaction, a fifth of the flash writes of one for each."""
        if self._budget.is_spent():
            return
        sent = 0
        for rowid, body in await self._writer.run_in_thread(lambda box: spool.oldest(box, SPOOL_BATCH)):
            try:
                await self._link.publish("telemetry", body, late=True)
            except (LinkLost, Rejected):
                break
            sent = rowid
        if sent:
            await self._writer.run_in_thread(lambda box: spool.forget(box, sent))


class _Stamp(msgspec.Struct):
    boot: str
    mono_ms: int


def process_measures(root: Path = Path("/")) -> dict[str, int]:
    """The daemon's own `rss_bytes`, `threads` and `descriptors`, from /proc/self; unreadable ones are left out."""
    own = root / "proc/self"
    found: dict[str, int] = {}
    try:
        found["rss_bytes"] = int((own / "statm").read_text("ascii").split()[1]) * _PAGE_BYTES
        found["threads"] = sum(1 for _ in (own / "task").iterdir())
        found["descriptors"] = sum(1 for _ in (own / "fd").iterdir())
    except (OSError, ValueError, IndexError):
        pass
    return found
