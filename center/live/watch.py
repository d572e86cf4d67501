"""`yinong-center watch`: the stations live in a terminal window, drawn with rich. Subscribes only; publishes nothing."""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from datetime import datetime

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from center.broker import stay_connected
from center.live.stations import PROBLEMS, Instant, Stations, StationView
from center.store.intake import Arrived
from center.store.presence import Presence
from common.clock import Clock, rfc3339
from common.labels import CLASSES, CONDITIONS, label
from common.messages import LATE, ROOT, SIMULATED, Device
from common.mqtt.connection import MqttConnection
from common.mqtt.error_texts import link_sentence
from common.mqtt.errors import LinkProblem
from common.mqtt.session import BrokerAddress, ConnectOptions
from common.standard.texts import verdict_name
from common.station import TYPE_NAMES
from drivers.catalogue import Lang, sentence
from drivers.reading import Condition, Reason

PRESENCES = {
    Presence.ONLINE: ("在线", "online", "green"),
    Presence.CLAIMED: ("在线（待核实）", "online (unproved)", "cyan"),
    Presence.SILENT: ("无心跳", "silent", "yellow"),
    Presence.LOST: ("离线", "lost", "red"),
    Presence.CLOSED: ("程序已停", "closed", "bright_black"),
    Presence.UNKNOWN: ("未知", "unknown", "bright_black"),
}
COLOURS = {
    Condition.FAULTY: "red",
    Condition.ABSENT: "red",
    Condition.UNREACHABLE: "red",
    Condition.ATTENTION: "yellow",
}
VERDICTS = ("not_met", "unproven", "met", "waived", "attested", "not_required")
LEAVES = ("state", "heartbeat", "device/#", "standard", "scan")


class WatchScreen:
    """The `Listener` of its connections (`common.mqtt.connection`)."""

    def __init__(self, clock: Clock, lang: Lang, show_all: bool = False, console: Console | None = None) -> None:
        self._lang: Lang = lang
        self._clock, self._show_all = clock, show_all
        self._console = console or Console()
        self.stations = Stations(self._now())
        self._link_error = label(("正在连接", "connecting"), lang)

    async def run(self, broker: BrokerAddress, once_s: float | None) -> None:
        """Live until interrupted; with `once_s`: print all stations once after this many seconds and return."""
        client_id = f"yinong-watch-{secrets.token_hex(4)}"
        async with asyncio.TaskGroup() as group:
            connected = group.create_task(
                stay_connected(broker, lambda: ConnectOptions(client_id), self, random.Random(), on_failure=self.lost)
            )
            if once_s is not None:
                await asyncio.sleep(once_s)
                self._console.print(self.render(None))
            else:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._draw()
            connected.cancel()

    async def _draw(self) -> None:
        with Live(console=self._console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(self.render(max(1, self._console.height - 6)), refresh=True)
                await asyncio.sleep(1)

    # listener

    def connected(self, connection: MqttConnection, resumed: bool) -> None:  # noqa: ARG002
        self._link_error = ""
        connection.subscribe([f"{ROOT}/+/{leaf}" for leaf in LEAVES], qos=0)

    def lost(self, problem: LinkProblem) -> None:
        self._link_error = link_sentence(problem, self._lang).says

    def received(self, connection: MqttConnection, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        user: list[tuple[str, str]] = getattr(message.properties, "UserProperty", [])
        arrived = Arrived(message.topic, bytes(message.payload), message.retain, LATE in user, SIMULATED in user)
        self.stations.receive(arrived, self._now())

    def acknowledged(self, mid: int, reason: ReasonCode) -> None:
        """Never called for a publication: nothing is published."""

    # drawing

    def render(self, rows: int | None) -> RenderableType:
        """A line of counts and a table of stations, those that need attention first; at most `rows` of them (None: all)."""
        now = self._now()
        views = self.stations.by_urgency(now)
        table = Table(expand=True)
        for zh, en in (
            ("站点", "station"),
            ("状态", "state"),
            ("起始", "since"),
            ("设备", "devices"),
            ("建设标准", "standard"),
            ("待签收", "waiting"),
            ("最近扫码", "last scan"),
        ):
            table.add_column(label((zh, en), self._lang), overflow="fold", ratio=3 if en == "devices" else 1)
        for view in views[:rows]:
            table.add_row(*self._row(view, now))
        left = len(views) - len(views[:rows])
        more = label((f"还有 {left} 站", f"{left} more"), self._lang) if left else ""
        return Group(self._headline(views, now), table, Text(more, "bright_black"))

    def _headline(self, views: list[StationView], now: Instant) -> Text:
        counts = Counter(view.presence(now) for view in views)
        line = Text(
            label((f"{len(views)} 站", f"{len(views)} stations"), self._lang) + f" {now.wall:%Y-%m-%d %H:%M:%S}  "
        )
        for presence, (zh, en, colour) in PRESENCES.items():
            if counts[presence]:
                line.append(f"{label((zh, en), self._lang)} {counts[presence]}  ", colour)
        if cloned := sum(1 for view in views if view.clones(now)):
            line.append(label((f"编号重复 {cloned}  ", f"cloned {cloned}  "), self._lang), "bold red")
        troubled = sum(1 for view in views if view.problems)
        line.append(label((f"设备需处理 {troubled}  ", f"with device trouble {troubled}  "), self._lang))
        if self._link_error:
            line.append(
                label((f"未连接服务器：{self._link_error}", f"no broker: {self._link_error}"), self._lang), "bold red"
            )
        return line

    def _row(self, view: StationView, now: Instant) -> tuple[Text, ...]:
        zh, en, colour = PRESENCES[view.presence(now)]
        name = Text(str(view.terminal.number))
        if view.terminal.terminal != "1":
            name.append(f"-{view.terminal.terminal}")
        name.append(f"\n{label(TYPE_NAMES[view.terminal.number.type], self._lang)}", "bright_black")
        if view.simulated:
            name.append(label((" 模拟", " simulated"), self._lang), "magenta")
        if clones := view.clones(now):
            who = "、".join(clones) if self._lang == "zh" else ", ".join(clones)
            name.append(
                label((f"\n两台电脑用同一编号：{who}", f"\ntwo terminals with one id: {who}"), self._lang), "bold red"
            )
        waiting = str(view.heartbeat.waiting) if view.heartbeat else ""
        return (
            name, Text(label((zh, en), self._lang), colour), Text(_local(view.state_at, now.wall)), self._devices(view),
            self._verdicts(view), Text(waiting), self._scan(view, now),
        )  # fmt: skip

    def _devices(self, view: StationView) -> Text:
        lines = [
            self._device(device)
            for _, device in sorted(view.devices.items())
            if self._show_all or device.condition in PROBLEMS or device.condition is Condition.UNKNOWN
        ]
        ok = len(view.devices) - len(lines)
        if ok:
            lines.append(Text(label((f"{ok} 件正常", f"{ok} ok"), self._lang), "green"))
        return Text("\n").join(lines)

    def _device(self, device: Device) -> Text:
        name = label(CLASSES.get(device.device_class), self._lang, device.device_class)
        says, remedy, _ = sentence(device.device_class, Reason(device.reason, device.params), self._lang)
        condition = label(CONDITIONS[device.condition], self._lang)
        line = Text(f"{name} ") + Text(condition, COLOURS.get(device.condition, "")) + Text(f": {_printable(says)}")
        return line + Text(f" → {_printable(remedy)}", "bright_black") if remedy else line

    def _verdicts(self, view: StationView) -> Text:
        counts = view.verdicts
        return Text("  ".join(f"{verdict_name(v, self._lang)} {counts[v]}" for v in VERDICTS if counts.get(v)))

    def _scan(self, view: StationView, now: Instant) -> Text:
        scan = view.last_scan
        if scan is None:
            return Text("")
        at = view.scanned_at
        when = _local(rfc3339(at), now.wall) if at else label(("时间未知", "time unknown"), self._lang)
        return Text(f"{when} {_printable(scan.text)}")

    def _now(self) -> Instant:
        return Instant(self._clock.mono_ms() / 1000, self._clock.now())


def _local(at: str | None, now: datetime) -> str:
    """Local time for people: today's without the date."""
    try:
        moment = datetime.fromisoformat(at or "").astimezone(now.tzinfo)
    except (ValueError, OverflowError):
        return ""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%m-%d %H:%M}"


def _printable(text: str) -> str:
    """Without control characters, so that a scanned text cannot be an escape sequence. GS is shown as ␝."""
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 0x20 else c if c.isprintable() else "�" for c in text[:500])
