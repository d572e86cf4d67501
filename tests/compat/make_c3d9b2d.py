"""Made tests/compat/c3d9b2d/: files and messages as the version at commit c3d9b2d left them. Kept for the record.

Runs on a checkout of commit c3d9b2d only: it imports that version's modules, under the names that they had then, and its
helpers of tests. It wants Linux and mosquitto, takes about two minutes, and writes the whole folder anew:

    git worktree add ../base c3d9b2d && cd ../base
    PYTHONPATH=$PWD:$PWD/tests python …/tests/compat/make_c3d9b2d.py

What it does: a station lives through three runs of the daemon (`run`, with its own command line, a scan gun on a
pseudo-terminal, devices as folder trees and servers on loopback), beside a broker and the recorder.

    run 1  connected: scans, control cards, commands, every request of the command line; the recorder goes and comes, a stick
           is carried; the broker goes and comes; killed
    run 2  another boot: connected, nobody records; stopped cleanly
    run 3  another machine, no broker: a second outbox id; a flash fault makes voids; two sticks, one of them carried; stopped

The clock runs 20 times as fast as the machine's and shows March 2026. Every file of `expected/` is what the old code itself
said of these files and messages.
"""

# ruff: noqa: I001  (it imports modules of another commit)

import asyncio
import contextlib
import functools
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HERE = Path(__file__).resolve().parent
OUT = HERE / "c3d9b2d"
BASE = Path.cwd()
NAME = "450225-GXBRS0001B-1"
CHINA = timezone(timedelta(hours=8))
FASTER = 20
AGENT, CENTER = (  # the commands as they were then, whatever is installed
    [sys.executable, "-c", f"from {side}.cli import main; main()"] for side in ("agent", "center")
)
RUNNING: list[Any] = []  # ended at the end, whatever comes
OUTBOXES = ("0a1b2c3d4e5f", "1f2e3d4c5b6a")
AT = "2026-03-02T09:00:00.000+08:00"


class FastClock:
    """20 times as fast; wrong and unsynchronised at first where `wrong_s` says so; suspended once where `suspended`."""

    def __init__(self, boot: str, wall: str, wrong_s: float = 0, suspended: bool = False) -> None:
        self.boot, self._wall = boot, datetime.fromisoformat(wall)
        self._wrong_ms, self._suspended = int(wrong_s * 1000), suspended
        self._began = time.monotonic()

    def _passed_ms(self) -> int:
        return int((time.monotonic() - self._began) * 1000 * FASTER)

    def mono_ms(self) -> int:
        return 40_000 + self._passed_ms()

    def suspended_ms(self) -> int:
        return 7_000 if self._suspended and self._passed_ms() > 100_000 else 0

    def quality(self) -> str:
        return "unsynced" if self._passed_ms() < self._wrong_ms else "synced"

    def now(self) -> datetime:
        wrong = timedelta(days=400) if self.quality() == "unsynced" else timedelta()
        return self._wall - wrong + timedelta(milliseconds=self._passed_ms())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FASTER)


# --- the daemon in a process of its own ---


def daemon(options: dict[str, Any]) -> None:
    """`yinong-agent run` on this machine tree and this clock."""
    import agent.answers
    from agent import daemon as old
    from agent.configuration.settings import load
    from agent.devices.finding import find_devices
    from agent.fingerprint import fingerprint, parts
    from agent.log import start_logging
    from agent.store.opening import open_outbox

    root, outbox = Path(options["root"]), Path(options["outbox"])
    agent.answers.find_devices = functools.partial(find_devices, root)  # never this machine's own
    clock = FastClock(**options["clock"])
    loaded = load(Path(options["config"]))
    assert loaded.settings and not loaded.mistakes, loaded.mistakes
    start_logging("info", clock.mono_ms)
    with old._alone(outbox):
        box = open_outbox(outbox, fingerprint(root), options["new_id"], "20260302T090000", 512 << 20, parts(root))
        asyncio.run(old.run(loaded, box, clock, Path(options["socket"]), root))


class Daemon:
    """Run number `number` of the station's daemon."""

    def __init__(self, work: Path, number: int, config: str, root: Path, clock: dict[str, Any], new_id: str) -> None:
        from daemon import Process

        self.work = work
        self.socket = work / f"agent-{number}.sock"
        self.config = work / "agent.toml"
        self.config.write_text(config, "utf-8")
        options = {
            "root": str(root), "outbox": str(work / "state/outbox.db"), "config": str(self.config),
            "socket": str(self.socket), "clock": clock, "new_id": new_id,
        }  # fmt: skip
        invocation = {"INVOCATION_ID": f"{number:032x}", "STATE_DIRECTORY": str(work / "state")}
        arguments = [sys.executable, str(Path(__file__).resolve()), json.dumps(options)]
        self._process = Process(arguments, work / f"log-{number}", invocation)
        RUNNING.append(self._process)
        _until(self._answers, lambda: self._process.log)

    def _answers(self) -> bool:
        assert self._process.running, self._process.log
        with contextlib.suppress(Exception):
            return bool(self.asked(ask="outbox"))
        return False

    def asked(self, **request: Any) -> Any:
        from agent.control import ask

        for line in ask(self.socket, request, 60):
            if "answer" in line or "error" in line:
                return line.get("answer") or line
        raise AssertionError("broke off")

    def until_receipted(self) -> None:
        _until(
            lambda: self.asked(ask="outbox")["waiting"] == 0, lambda: f"{self.asked(ask='outbox')}{self._process.log}"
        )

    def until_connected(self, up: bool = True) -> None:
        _until(lambda: self.asked(ask="status")["link"]["up"] is up, lambda: self._process.log)

    def scans(self) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.work / "state/outbox.db", timeout=20)) as db:
            return [msgspec.json.decode(body) for (body,) in db.execute("SELECT body FROM entry WHERE kind = 'scan'")]

    def journal(self, event: str) -> int:
        with contextlib.closing(sqlite3.connect(self.work / "state/outbox.db", timeout=20)) as db:
            bodies = [
                msgspec.json.decode(b)
                for (b,) in db.execute("SELECT body FROM entry WHERE kind = 'journal' AND body > x'7b'")
            ]
        return sum(body["event"] == event for body in bodies)

    def until_journal(self, event: str, number: int = 1) -> None:
        _until(lambda: self.journal(event) >= number, lambda: f"no {event}\n{self._process.log}")

    def scan(self, gun: Any, data: str | bytes) -> None:
        """And wait until it is committed."""
        before = len(self.scans())
        gun.send((data if isinstance(data, bytes) else data.encode()) + b"\r")
        _until(lambda: len(self.scans()) > before, lambda: f"{data!r}\n{self._process.log}")

    def card(self, gun: Any, text: str, event: str = "card") -> None:
        before = self.journal(event)
        gun.scan(text)
        self.until_journal(event, before + 1)

    def end(self, how: signal.Signals) -> None:
        self._process.end(how)


def _until(fits: Callable[[], Any], otherwise: Callable[[], str]) -> Any:
    from daemon import until

    return until(fits, otherwise, 60)


# --- the machine, and what stands around it ---


def _conftest(which: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"{which}_conftest", BASE / f"tests/drivers/{which}/conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine(root: Path, number: int) -> Any:
    """Number 1 shows a network card, a disk and a board; number 2 a board only, so that it can be compared with no other
    machine that shows none: a file that it has written is taken for its own on most machines."""
    shutil.copytree(BASE / "tests/drivers/terminal/cases/mini_pc_all_well/root", root, symlinks=True)
    tree = _conftest("broadband").TerminalTree(root)
    tree.write("proc/self/io", f"write_bytes: {400_000 * number}\ncancelled_write_bytes: 0\n")
    tree.write("sys/class/dmi/id/product_uuid", f"00000000-0000-4000-8000-00000000000{number}\n")
    tree.write("sys/class/dmi/id/board_serial", f"BOARD-{number}\n")
    tree.write("sys/class/net/eth0/address", f"00:1b:21:00:00:0{number}\n")
    tree.write("sys/class/net/eth0/addr_assign_type", "0\n" if number == 1 else "3\n")
    shutil.rmtree(root / "sys/class/net/enp1s0")
    if number == 1:
        tree.write("sys/block/nvme0n1/device/serial", "DISK-1\n")
    screen = root / "sys/class/drm/card0-HDMI-A-1"
    screen.mkdir(parents=True)
    for name, text in (("status", "connected\n"), ("modes", "3840x2160\n1920x1080\n"), ("enabled", "enabled\n")):
        (screen / name).write_text(text)
    (screen / "edid").write_bytes(_conftest("led_screen").edid(name="TV 65", serial="A1", cm=(143, 80), mm=(1428, 803)))
    for folder in ("state", "dev"):
        (root / folder).mkdir(exist_ok=True)
    (root / "dev/pts").symlink_to("/dev/pts")
    return tree


class Servers:
    """A printer, a web page and the county's endpoint for measuring, on loopback, each in a thread of its own."""

    def __init__(self, nic: Any) -> None:
        broadband, printer = _conftest("broadband"), _conftest("printer")
        self.mini = broadband.MiniServer(10, nic=nic)
        threading.Thread(target=self.mini.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.printer = printer.FakePrinter()
        self.printer.says("toner-low-report")
        page = "<html><head><title>安太乡寨怀村</title></head><body>" + "村务公开 " * 40 + "寨怀村</body></html>"
        body = page.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        self._page = head.encode() + body
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        assert ready.wait(10)

    async def _serve(self, ready: threading.Event) -> None:
        async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._page)
            await writer.drain()
            writer.close()

        first = await asyncio.start_server(self.printer.serve, "127.0.0.1", 0)
        second = await asyncio.start_server(page, "127.0.0.1", 0)
        self.printer_port = first.sockets[0].getsockname()[1]
        self.page_port = second.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Event().wait()


class Listener:
    """Hears every message with its properties."""

    def __init__(self, port: int) -> None:
        self.heard: list[dict[str, Any]] = []
        self._subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "listener", protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(0.2, 0.2)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda *_: self.client.subscribe(
            "yinong/#", options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
        )
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_disconnect = lambda *_: self._subscribed.clear()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.until_there()

    def until_there(self) -> None:
        assert self._subscribed.wait(20)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        given = message.properties
        properties: dict[str, Any] = {"user": [list(pair) for pair in getattr(given, "UserProperty", [])]}
        for name, wanted in (("response_topic", "ResponseTopic"), ("expiry_s", "MessageExpiryInterval")):
            if hasattr(given, wanted):
                properties[name] = getattr(given, wanted)
        if hasattr(given, "CorrelationData"):
            properties["correlation"] = given.CorrelationData.hex()
        self.heard.append(
            {
                "topic": message.topic,
                "qos": message.qos,
                "retain": message.retain,
                "properties": properties,
                "payload": bytes(message.payload).decode("utf-8"),
            }
        )

    def of(self, leaf: str) -> list[dict[str, Any]]:
        return [one for one in self.heard if one["topic"] == f"yinong/1/{NAME}/{leaf}"]

    def states(self) -> list[str]:
        return [json.loads(one["payload"])["state"] for one in self.of("state")]

    def publish(self, leaf: str, payload: bytes, properties: Properties | None = None) -> None:
        self.client.publish(f"yinong/1/{NAME}/{leaf}", payload, 1, False, properties).wait_for_publish(20)

    def command(self, command: str, id: str, **options: Any) -> None:
        """As the console does; waits for the reply."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"yinong/1/{NAME}/reply"
        properties.CorrelationData = id.encode()
        properties.MessageExpiryInterval = 30
        body = json.dumps({"v": 1, "id": id, "options": options}).encode()
        self.publish(f"command/{command}", body, properties)
        _until(
            lambda: any(json.loads(one["payload"])["id"] == id for one in self.of("reply")), lambda: f"no reply to {id}"
        )


class Proxy:
    """Stands between the command line and the daemon's socket, and keeps what both say."""

    def __init__(self, path: Path, daemon: Path) -> None:
        self.path, self._daemon = path, daemon
        self.talks: list[tuple[bytes, bytearray]] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        request = client.makefile("rb").readline()
        answer = bytearray()
        self.talks.append((request, answer))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, client:
            server.connect(str(self._daemon))
            server.sendall(request)
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    client.sendall(data)
                    answer += data


# --- texts ---

RUN_TOML = """\
[station]
division = "450225"
number = "桂BRS0001B"
name = "寨怀村益农信息社"
township = "安太乡"
[broker]
host = "127.0.0.1"
port = {port}
tls = false
will_delay_s = 0
reconnect_cap_s = 10
[delivery]
backlog_kbit_s = 20000
[opening_hours]
monday = ["00:00-24:00"]
tuesday = ["00:00-24:00"]
wednesday = ["00:00-24:00"]
thursday = ["00:00-24:00"]
friday = ["00:00-24:00"]
saturday = ["00:00-24:00"]
sunday = ["00:00-24:00"]
[outbox]
path = "{outbox}"
[scan]
beep = false
[[attested]]
item = "signboard"
by = "韦某某"
on = 2026-03-01
note = "{note}"
[[device]]
class = "terminal"
id = "main"
state_folder = ""
[[device]]
class = "broadband"
id = "line"
gateway = "{answers}"
internet = ["{answers}"]
county = "{answers}"
mini_url = "{mini_url}"
measure_s = 1.0
[[device]]
class = "led_screen"
id = "screen"
surveyed_by = "韦某某"
surveyed_on = "2026-03-01"
width_mm = 1600
height_mm = 800
[[device]]
class = "printer"
id = "main"
address = "{printer}"
copy = "off"
cups = "off"
[[device]]
class = "scan_gun"
id = "counter"
port = "{gun}"
suffix = "cr"
[[device]]
class = "video"
id = "camera"
device = "/dev/none"
[[device]]
class = "web_page"
id = "village"
address = "{page}"
must_contain = "寨怀村"
"""

AGENT_TOML = """\
# 寨怀村益农信息社,柜台终端。Made by hand from the sample.

[station]
division = "450225"
number = "桂BRS0001B"
terminal = "2"
profile = "B"
name = "寨怀村益农信息社"
township = "安太乡"

[broker]
host = "mqtt.example.org"
port = 8884
tls = true
ca_file = "/etc/yinong-agent/county-ca.pem"
cert_file = "/etc/yinong-agent/terminal.crt"
key_file = "/etc/yinong-agent/terminal.key"
password_file = "/etc/yinong-agent/password"
keepalive_s = 45
will_delay_s = 90
session_expiry_s = 7200
connect_timeout_s = 20
acknowledge_timeout_s = 40
reconnect_cap_s = 300

[delivery]
acknowledge = "broker"
backlog_kbit_s = 256

[opening_hours]
monday = ["08:00-12:00", "14:30-18:00"]
tuesday = ["08:00-12:00", "14:30-18:00"]
wednesday = ["08:00-18:00"]
thursday = ["08:00-18:00"]
friday = ["08:00-18:00"]
saturday = ["09:00-24:00"]
sunday = []
holidays = [2026-02-17, 2026-02-18]

[outbox]
path = "/var/lib/yinong-agent/records.db"
max_mb = 256
archive_days = 60
telemetry_max_mb = 8
flash_budget_mb_day = 20

[scan]
beep = false

[log]
level = "warning"

[standard]
min_area_m2 = 1.2
area_tolerance = 0.02
min_mbps = 10.0
min_mbps_ratio = 0.8
waive_scan_gun_by_video = false

[standard.profiles]
Z = ["signboard", "plate", "information_wall", "telephone"]

[[attested]]
item = "signboard"
by = "韦某某"
on = 2026-03-01
note = "门头完好"

[[attested]]
item = "telephone"
by = "韦某某"
on = 2026-03-01

[[waiver]]
item = "led_screen"
capability = "promotion"
by = "韦某某"
on = 2026-03-01
note = "一体机"

[[platform]]
name = "示例追溯平台"
like = "https://*.example.org/t/{product}?c={code:d20}&b={batch:w1-12}"
check_digit = "code"
per_package = true

[[device]]
class = "terminal"
id = "main"
state_folder = "/var/lib/yinong-agent"
disk_full_mb = 300
disk_nearly_full_mb = 900
hot_c = 80
unsynced_after_s = 1200
write_every_s = 3600
read_only_meant = true

[[device]]
class = "broadband"
id = "line"
interface = "enp1s0"
gateway = "192.168.1.1"
internet = ["223.5.5.5:53"]
county = "county.example.org:8885"
contracted_down_mbps = 20.0
threshold_ratio = 0.8
access = "pppoe"
mini_url = "http://county.example.org:8080"
measure_every_h = 12.0
measure_s = 4.0

[[device]]
class = "led_screen"
id = "screen"
connector = "HDMI-A-1"
kind = "led_wall"
width_px = 640
height_px = 320
pitch_mm = 2.5
surveyed_by = "韦某某"
surveyed_on = "2026-03-01"

[[device]]
class = "printer"
id = "main"
usb = "232b:3a50:CK1A0001"
copy = "http://192.168.1.50:8080/eSCL"
cups = "off"
timeout_s = 2.0

[[device]]
class = "printer"
id = "office"
address = "ipp://192.168.1.50/ipp/print"

[[device]]
class = "scan_gun"
id = "keyboard"
source = "evdev"
usb = "05e0:1200"
prefix = "~"
suffix = "enter"
aim = true
multi_line = true
caps = "host"
charset = "gb18030"
alt = "gbk"
silence_ms = 120
grab = "pass_through"

[[device]]
class = "scan_gun"
id = "old"
source = "serial"
usb_port = "1-2.4"
baud = 19200
parity = "even"
data_bits = 7
acknowledge = "bel"

[[device]]
class = "video"
id = "camera"
device = "/dev/v4l/by-id/usb-camera-video-index0"
microphone = false
speaker = false
pictures = false
budget_s = 9.0

[[device]]
class = "web_page"
id = "village"
address = "https://village.example.org/zhaihuai"
must_contain = "寨怀村"
timeout_s = 6.0
"""

CENTER_TOML = """\
[broker]
host = "10.0.0.5"
port = 8883
tls_ca = "/etc/yinong-center/ca.pem"
username = "recorder"
password_file = "/etc/yinong-center/password"

[store]
url = "postgresql+psycopg://recorder@/yinong"

[recorder]
client_id = "yinong-recorder-2"
session_expiry_s = 86400
simulated = true

[log]
level = "debug"
"""


# --- the station's life ---


def life(work: Path) -> None:
    """Everything but the files that need no station."""
    import daemon as helper
    from broker import Broker
    from daemon import Gun, Recorder

    helper.COMMANDS = work / "bin"
    helper.COMMANDS.mkdir()
    command = helper.COMMANDS / "yinong-center"
    command.write_text(f"#!{sys.executable}\n{CENTER[-1]}\n")
    command.chmod(0o755)
    state = work / "state"
    state.mkdir()
    trees = [machine(work / f"root-{number}", number) for number in (1, 2)]
    servers = Servers(trees[0].nics["lo"])
    broker = Broker(work)
    probed = socket.create_server(("127.0.0.1", 0))
    gun = Gun("counter")

    def config(note: str = "") -> str:
        return RUN_TOML.format(
            port=broker.port,
            outbox=state / "outbox.db",
            answers=f"127.0.0.1:{probed.getsockname()[1]}",
            note=note,
            mini_url=servers.mini.url,
            printer=f"ipp://127.0.0.1:{servers.printer_port}/ipp/print",
            gun=gun.port,
            page=f"http://127.0.0.1:{servers.page_port}/",
        )

    events_that_did_not_happen(state / "outbox.db", work / "root-1")
    RUNNING.append(broker)
    broker.start()
    listener = Listener(broker.port)
    clock = {"boot": "b0070001", "wall": "2026-03-02T09:00:00+08:00", "wrong_s": 60, "suspended": True}
    with Recorder(work, broker.port) as recorder:
        one = Daemon(work, 1, config(), work / "root-1", clock, OUTBOXES[0])
        gun.wait_until_opened()
        one.until_connected()
        scans_and_cards(one, gun)
        for event in ("clock_synced", "clock_stepped", "resumed"):
            one.until_journal(event)
        listener.command("check", "command-0001")
        listener.command("check", "command-0002", device="printer")
        listener.command("status", "command-0003")
        listener.command("log", "command-0004", lines=2)
        listener.command("measure", "command-0005")
        listener.command("reboot", "command-0006")
        one.until_receipted()
        _until(lambda: listener.of("telemetry") and listener.of("heartbeat"), lambda: "no telemetry")
    stick = work / "stick-0"
    stick.mkdir()
    one.scan(gun, "carried by stick 1")
    one.scan(gun, "carried by stick 2")
    requests(work, one, gun)
    _agent(work, one.socket, "export", "--to", str(stick))
    _import(work, stick)
    with Recorder(work, broker.port) as recorder:
        one.until_receipted()  # by receipts that name the parcel
        against_the_contract(listener)
        _until(
            lambda: recorder.count("set_aside") == 2 and recorder.count("conflict") == 1, lambda: recorder.process.log
        )
        one.until_receipted()
    one.scan(gun, "nobody records")
    broker.stop()
    one.until_connected(False)
    one.until_journal("link_down")
    one.until_journal("link_layer")
    one.scan(gun, "no broker")
    one.scan(gun, "no broker, together with the one before")
    broker.start()
    listener.until_there()
    one.until_connected()
    one.until_journal("link_up", 2)
    one.scan(gun, "broker again")
    _until(lambda: any("broker again" in heard["payload"] for heard in listener.of("scan")), lambda: "not heard")
    lost = listener.states().count("lost")
    one.end(signal.SIGKILL)
    _until(lambda: listener.states().count("lost") > lost, lambda: f"no will: {listener.states()}")

    flash_fault(state / "outbox.db", 1)
    gun.forget()
    clock = {"boot": "b0070002", "wall": "2026-03-02T15:00:00+08:00"}
    two = Daemon(work, 2, config("门头完好"), work / "root-1", clock, "f" * 12)
    two.until_connected()
    gun.wait_until_opened()
    two.until_journal("configuration_changed")
    two.scan(gun, "second boot")
    for text in ("second boot", '"event":"void"', "link_down", "link_layer", "configuration_changed"):
        _until(lambda text=text: any(text in one["payload"] for one in listener.heard), lambda text=text: f"no {text}")
    two.end(signal.SIGTERM)
    _until(lambda: "closing" in listener.states(), lambda: "no closing")
    broker.stop()
    save_messages(listener)

    flash_fault(state / "outbox.db", 2)
    gun.forget()
    servers.mini.nic = trees[1].nics["lo"]
    clock = {"boot": "b0070003", "wall": "2026-03-03T09:00:00+08:00"}
    three = Daemon(work, 3, config("门头完好"), work / "root-2", clock, OUTBOXES[1])
    gun.wait_until_opened()
    for number in range(3):
        three.scan(gun, f"other machine {number}")
    _until(
        lambda: all(d["reason"] != "not_looked_at" for d in three.asked(ask="status")["devices"]), lambda: "not looked"
    )
    assert "measures" in three.asked(ask="measure")
    carried = work / "stick-1"
    carried.mkdir()
    _agent(work, three.socket, "export", "--to", str(carried))
    _import(work, carried)
    texts = three.asked(ask="cards", cards=[["SHIP", ""], ["PRODUCT", "沙田柚"], ["BATCH", "A7"]])["texts"]
    for text in texts:
        three.card(gun, text)
    three.scan(gun, "(01)06901234567892(10)A7")
    three.scan(gun, "to be voided")
    three.card(gun, three.asked(ask="cards", cards=[["VOID", ""]])["texts"][0], "capture_voided")
    three.scan(gun, "the last one")
    three.scan(gun, "the last one")  # repeated
    first, last = _places_of_two_archived_scans(state / "outbox.db")
    assert three.asked(ask="resend", range={"first": first, "last": last, "outbox": OUTBOXES[0]})["captures"]
    (OUT / "stick").mkdir(parents=True)
    _agent(work, three.socket, "export", "--to", str(OUT / "stick"))
    time.sleep(320 / FASTER)  # telemetry is kept in memory, and put on the disk at the stop
    three.end(signal.SIGTERM)
    note = {
        "STATE_DIRECTORY": str(state), "SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0",
        "INVOCATION_ID": f"{3:032x}",
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "agent.life.exit_note"], env={**os.environ, **note}, check=True)

    (OUT / "state").mkdir()
    for name in ("outbox.db", "outbox.db.alive", "export.key", "export.pub", "cards.key", "last-exit.json"):
        shutil.copy(state / name, OUT / "state" / name)
    assert not (state / "outbox.db-wal").exists(), "closing the file has emptied its WAL"
    (OUT / "county").mkdir()
    shutil.copy(work / "center.db", OUT / "county/center.db")
    template = RUN_TOML.replace("{note}", "门头完好")
    (OUT / "config/run.toml").write_text(template, "utf-8")


def events_that_did_not_happen(path: Path, root: Path) -> None:
    """Journal entries of kinds that the station does not live through, and events with every field that they can have (a
    default is left out), as the old code would have made them."""
    from agent.life.events import ClockStepped, Exit, LastAlive, LinkDown, LinkLayer, LinkUp, Start
    from agent.fingerprint import fingerprint, parts
    from agent.stamp import journal
    from agent.store.opening import open_outbox
    from agent.store.room_watch import Room

    clock = FastClock("b0070000", "2026-03-01T18:00:00+08:00")
    box = open_outbox(path, fingerprint(root), OUTBOXES[0], "20260301T180000", None, parts(root))
    room = {
        name: value
        for name, value in Room("full", 1 << 20, 14, 5 << 20, 512 << 20)._asdict().items()
        if name != "level"
    }
    box.append(
        [
            journal(clock, "disk_nearly_full", **room),
            journal(clock, "disk_full", **room),
            journal(clock, "disk_has_room", **room),
            journal(clock, "scans_turned_away", number=3),
            journal(clock, "flash_budget_met", day_bytes=31_000_000, budget_bytes=30_000_000),
            journal(clock, "refused", leaf="device/printer/main", why="not_authorized", said="Not authorized"),
            journal(clock, "sent_again", store="0011223344556677", upto=3),
            journal(clock, "twin", outbox="aaaaaaaaaaaa", upto=9),
            journal(clock, "outbox_went_back", outbox_before="aaaaaaaaaaaa", receipted=9, store="0011223344556677"),
        ]
    )
    alive = LastAlive(boot="b006ffff", mono_ms=9_000_000, at=AT, clock="synced", run="0badcafe", link=True)
    events = (
        Start(
            run="0badcafe", version="0.1.0", previous_end="crashed", outbox="corrupt", new_boot=True, previous_run="0badcaf0",
            previous_boot="b006ffff", previous_version="0.0.9", previous_stop="machine", last_alive=alive,
            previous_exit=Exit(result="watchdog", code="killed", status="ABRT"), outbox_details={"schema_before": 2},
            configuration_mistakes=2,
        ),
        LinkDown(connection=4, why="closed", down_ms=61_000, untold=3, untold_ms=9_000),
        LinkLayer(
            layer="access_line", before="lan", why="no_route", condition="unreachable", reason="internet_silent",
            probes=({"method": "tcp connect", "source": "223.5.5.5:53", "raw": {"outcome": "timed out"}},),
        ),
        LinkUp(connection=5, down_ms=70_000, cause="access_line", layers=(("lan", 1_000), ("access_line", 5_000))),
        ClockStepped(before=AT, now=AT, step_ms=-3_000, quality_before="unsynced", quality="synced", untold=2),
    )  # fmt: skip
    box.append([journal(clock, event.name, **event.details()) for event in events])
    box.close()


def scans_and_cards(one: Daemon, gun: Any) -> None:
    for data in (
        "6901234567892",
        "6901234567892",
        b"\x1d0106901234567892" + b"10A7\x1d17270301",
        "沙田柚 A级",
        "桂AB1234".encode("gbk"),
        "https://trace.example.org/t/pomelo?c=01234567890123456789&b=A7",
        b"\x8a\xff\xff",
    ):
        one.scan(gun, data)
    cards = [["SHIP", ""], ["PRODUCT", "沙田柚"], ["BATCH", "A7"], ["LIST", ""], ["CHECK", ""]]
    texts = one.asked(ask="cards", cards=cards)["texts"]
    for text in texts:
        one.card(gun, text)
    one.scan(gun, "with context")
    void = one.asked(ask="cards", cards=[["VOID", ""]])["texts"][0]
    one.card(gun, void, "capture_voided")
    one.card(gun, void, "card_refused")
    one.card(gun, "YNC1.SHIP.AAAAAAAAAAAAAAAA", "card_refused")


def requests(work: Path, one: Daemon, gun: Any) -> None:
    """Every request that the command line sends, and some that are wrong; what was answered."""
    proxy = Proxy(work / "proxy.sock", one.socket)
    sock = proxy.path
    for arguments in (
        ["status", "--lang", "zh"],
        ["outbox"],
        ["devices", "--json"],
        ["check", "--json"],
        ["check", "printer"],
        ["check", "--lang", "en", "nothing"],
        ["measure", "--json"],
        ["scan", "--camera", "--seconds", "1"],
        ["scans", "list", "--json"],
        ["scans", "list", "--gun", "counter", "--limit", "2", "--since", "2026-03-01T00:00:00+08:00"],
        ["scans", "resend", "5", "12"],
        ["scans", "resend", "1", "99999"],
        ["cards", "--out", str(work / "cards.html"), "--product", "沙田柚", "--batch", "A7"],
        ["scan", "--record", "none"],
    ):
        _agent(work, sock, *arguments, code=None)
    one.scan(gun, "for the stick")
    (work / "stick-x").mkdir()
    _agent(work, sock, "export", "--to", str(work / "stick-x"))
    card = one.asked(ask="cards", cards=[["INSPECT", ""]])["texts"][0]
    live = subprocess.Popen(**_command(work, sock, "scan", "--json", "--count", "1"), stdout=subprocess.DEVNULL)
    _until(lambda: any(request == b'{"ask": "scan"}\n' for request, _ in proxy.talks), lambda: f"{proxy.talks}")
    time.sleep(0.5)  # it is connected; now the daemon shows what comes
    one.card(gun, card)
    one.scan(gun, "live")
    assert live.wait(20) == 0
    for wrong in (b'{"ask": "nothing"}\n', b"[]\n", b"no json\n", b'{"ask": "scans", "wanted": {"colour": 1}}\n'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(sock))
            client.sendall(wrong)
            while client.recv(65536):
                pass
    time.sleep(1)
    talks = [
        {
            "request": request.decode(),
            "answer": [json.loads(line) for line in answer.splitlines() if line.endswith(b"}")],
        }
        for request, answer in proxy.talks
    ]
    asks = {json.loads(talk["request"]).get("ask") for talk in talks if talk["request"].startswith('{"')}
    assert asks >= {
        "status",
        "outbox",
        "devices",
        "check",
        "measure",
        "camera",
        "scans",
        "resend",
        "cards",
        "export",
        "scan",
    }, asks
    _save("socket", talks)


def against_the_contract(listener: Listener) -> None:
    """The same place with other bytes, and two messages that do not keep to the contract."""
    taken = next(one for one in listener.of("journal") if json.loads(one["payload"])["event"] == "start")
    listener.publish("journal", taken["payload"].replace('"event":"start"', '"event":"START"').encode())
    listener.publish("journal", b'{"outbox":"c0ffee000000","seq":1,"event":7}')  # its place can be read: held
    listener.publish("journal", b"no json")


def flash_fault(path: Path, number: int) -> None:
    """Bits of rows that wait are flipped below SQLite: of so many neighbours, the last that are no scans.

    None of them is among the messages that are kept: a row that comes for a place inside a void is stored beside it.
    """
    from agent.store.opening import read_only

    messages = OUT / "expected/messages.json"
    kept = [json.loads(one["payload"]) for one in json.loads(messages.read_text("utf-8"))] if messages.exists() else []
    known = {(one.get("outbox"), one.get("seq")) for one in kept}
    with read_only(path) as box:
        rows = [row for row in box.waiting(0, 1000) if row.leaf != "scan" and (row.outbox, row.seq) not in known]
    places = {row.id for row in rows if b'"void"' not in row.body}
    first = max(place for place in places if {*range(place, place + number)} <= places)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entry SET body = zeroblob(8) WHERE id >= ? AND id < ?", (first, first + number))


def _places_of_two_archived_scans(path: Path) -> tuple[int, int]:
    """Numbers of the first outbox id."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        found = [place for (place,) in db.execute("SELECT id FROM entry WHERE kind = 'scan' ORDER BY id LIMIT 2")]
    return found[0], found[1]


def _command(work: Path, sock: Path, *arguments: str) -> dict[str, Any]:
    where = {"YINONG_AGENT_CONFIG": str(work / "agent.toml"), "YINONG_AGENT_SOCKET": str(sock)}
    return {"args": [*AGENT, *arguments], "env": {**os.environ, **where}}


def _agent(work: Path, sock: Path, *arguments: str, code: int | None = 0) -> str:
    done = subprocess.run(**_command(work, sock, *arguments), capture_output=True, text=True, timeout=120)
    assert code is None or done.returncode == code, done
    assert "Traceback" not in done.stderr and "Usage" not in done.stderr, done.stderr
    return done.stdout


def _import(work: Path, stick: Path) -> str:
    store = f"sqlite:///{work}/center.db"
    done = subprocess.run(
        [*CENTER, "import", str(stick), "--store", store, "--lang", "en"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout


# --- files that need no station ---


def configurations() -> None:
    """agent.toml with the table that `learn` wrote, center.toml."""
    folder = OUT / "config"
    folder.mkdir(parents=True)
    agent = folder / "agent.toml"
    agent.write_text(AGENT_TOML, "utf-8")
    learned(agent)
    (folder / "center.toml").write_text(CENTER_TOML, "utf-8")


def learned(config: Path) -> None:
    """`yinong-agent learn --write`, with a serial gun that has a prefix and sends Chinese as GBK."""
    from daemon import Gun

    from agent.cli import learn
    from agent.cli.terms import Terms
    from drivers.scan_gun.identity import Candidate
    from drivers.scan_gun.learning import CODES

    gun = Gun()
    tty.setraw(gun._line)
    learn.candidates = lambda _root: [
        Candidate("serial", Path(gun.port), "HR32", vendor="1eab", product="1a06", serial="S1", usb_port="1-1")
    ]
    shown = io.StringIO()

    def scan() -> None:
        for number, data in enumerate((CODES.ascii.encode(), CODES.chinese.encode("gbk"), CODES.ean.encode()), 1):
            _until(lambda number=number: f"Code {number} of 3" in shown.getvalue(), shown.getvalue)
            gun.send(b"~" + data + b"\r")

    scanning = threading.Thread(target=scan)
    with contextlib.redirect_stdout(shown):
        scanning.start()
        learn.learn(Terms("en"), config, 115200, write=True)
    scanning.join()
    assert 'usb = "1eab:1a06:S1"' in config.read_text("utf-8"), shown.getvalue()


def recordings(work: Path) -> None:
    """By `scan --record` of a serial gun; of the two other sources by their decoders, as the daemon's reader feeds them."""
    from daemon import Gun
    from evdev import ecodes as e

    from agent.cli.record import record
    from agent.cli.terms import Terms
    from drivers.scan_gun.driver import ScanGun
    from drivers.scan_gun.evdev_source import EvdevDecoder
    from drivers.scan_gun.framing import Framer
    from drivers.scan_gun.hidpos_source import HidposDecoder
    from drivers.scan_gun.recording import first_line, line

    folder = OUT / "recordings"
    folder.mkdir(parents=True)
    gun, config = Gun(), work / "record.toml"
    tty.setraw(gun._line)
    config.write_text(
        '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'
        f'[[device]]\nclass = "scan_gun"\nid = "serial"\nport = "{gun.port}"\ncharset = "gb18030"\n',
        "utf-8",
    )
    gun.send("桂AB1234".encode("gbk") + b"\r\n6901234567892\r\n\x1d0106901234567892\r\n\x8a\xff\xff\r\n")
    with contextlib.redirect_stdout(io.StringIO()):
        record(Terms("en"), config, work / "none.sock", folder / "serial.jsonl", None, 4, as_json=True)
    serial = folder / "serial.jsonl"
    serial.write_text(serial.read_text("utf-8").replace(gun.port, "/dev/ttyACM0"), "utf-8")

    table = ScanGun(id="keyboard", source="evdev", prefix="~", caps="host")
    framer = Framer("keyboard", "recording", "evdev", table.framing, stamped=True)
    lines = [first_line(table)]
    keys = EvdevDecoder(framer, table.caps, 10_000)
    keys.event(0, e.EV_LED, e.LED_CAPSL, 0)
    keys.record(lambda entry: lines.append(line(entry)))
    typist = _conftest("scan_gun").Typist
    typed = typist(10.2).type("~69\n~Aa#\n").alt("31508").type("\n").wait(1).type("~\x1d01\n")
    typed.event(e.EV_SYN, e.SYN_DROPPED, 0).type("2\n~l\n")
    keys.feed(typed.raw(), 0)
    keys.gone(20_000, "stopped")
    (folder / "keyboard.jsonl").write_text("\n".join(lines) + "\n", "utf-8")

    table = ScanGun(id="pos", source="hidpos", aim=True)
    framer = Framer("pos", "recording", "hidpos", table.framing)
    lines = [first_line(table)]
    reports = HidposDecoder(framer)
    reports.record(lambda entry: lines.append(line(entry)))
    data = "融水苗族自治县".encode() * 4
    head = bytes((2, 56)) + b"]Q1" + data[:56] + b"\0\0\1"
    reports.feed(head, 10_000)
    reports.feed((bytes((2, len(data) - 56)) + b"]Q1" + data[56:]).ljust(64, b"\0"), 10_002)
    reports.feed(head, 12_000)
    reports.quiet(19_000)
    reports.gone(20_000, "unplugged")
    (folder / "hidpos.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


# --- what is expected, as the old code says it ---


def _save(name: str, content: Any) -> None:
    (OUT / "expected").mkdir(parents=True, exist_ok=True)
    text = _lines(content) + "\n"
    (OUT / "expected" / f"{name}.json").write_text(text, "utf-8")


def _lines(content: Any, depth: int = 0) -> str:
    """JSON with a line for each thing of the two outer levels."""
    if depth == 3 or not content or not isinstance(content, dict | list):
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    if isinstance(content, list):
        return "[\n" + ",\n".join(_lines(one, depth + 1) for one in content) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(key)}:{_lines(one, depth + 1)}" for key, one in content.items()) + "\n}"


def save_messages(listener: Listener) -> None:
    """Enough of what was heard: of every leaf and every event a few, and all that a retained or late one has of its own."""
    from agent.life.events import read_event
    from agent.messages import TOPICS, type_of
    from center.intake import Arrived, take

    kept: list[dict[str, Any]] = []
    kinds: list[Any] = []
    for heard in listener.heard:
        leaf = heard["topic"].split("/", 3)[3]
        kind = type_of(leaf)
        try:
            content = json.loads(heard["payload"])
        except ValueError:
            continue
        if kind is None or content.get("event") in (7, "START"):
            continue
        what = (
            leaf, content.get("event"), content.get("state"), content.get("command"), bool(content.get("parcels")),
            [[c["damage"], c["flags"], bool(c["context"])] for c in content.get("captures", ())],
            heard["properties"]["user"] != [], sorted(content.get("details", ())),
        )  # fmt: skip
        if what in kinds:
            continue
        kinds.append(what)
        message = msgspec.json.decode(heard["payload"], type=kind)
        arrived = Arrived(
            heard["topic"], heard["payload"].encode(), heard["retain"], ["late", "1"] in heard["properties"]["user"]
        )
        taken = take(arrived)
        heard["type"] = kind.__name__
        again = json.loads(msgspec.json.encode(message))
        if again != content:  # else it says the same again
            heard["again"] = again
        heard["taken"] = {
            "rows": [[r.outbox, r.seq, r.leaf, r.kind, r.digest.hex(), r.late] for r in taken.rows],
            "set_aside": [one.why for one in taken.set_aside],
            "values": [[v.leaf, v.outbox, v.seq] for v in taken.values],
            "state": taken.state and taken.state[1].state,
        }
        if content.get("event") and (event := read_event(content["event"], content["details"])):
            heard["event"] = msgspec.to_builtins(event)
        kept.append(heard)
    leaves = {json.loads(one["payload"]).get("event") or one["topic"].split("/")[3] for one in kept}
    assert {topic.leaf.split("/")[0] for topic in TOPICS} - {"journal"} | {"void"} <= leaves, leaves
    users = [heard["properties"]["user"] for heard in kept if heard["topic"].endswith("/scan")]
    assert [["late", "1"]] in users and [] in users
    _save("messages", kept)


def expected() -> None:
    work = Path("/tmp/yinong-expected")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(OUT / "state", work)
    for key in ("export.key", "cards.key"):
        (work / key).chmod(0o600)
    expected_outbox(work)
    expected_store()
    expected_parcel()
    expected_settings()
    expected_recordings()
    shutil.rmtree(work)


def expected_outbox(work: Path) -> None:
    from agent.cli.scans import scan_json
    from agent.fingerprint import fingerprint, parts
    from agent.life.alive import AliveFile, beside
    from agent.life.ending import Run
    from agent.messages import topic
    from agent.store import spill
    from agent.store.opening import open_outbox
    from agent.store.scan_archive import Walk, Wanted, next_again, rows_again
    from center.intake import Arrived, take, void_range

    root = Path("/tmp/yinong-compat/root-2")
    box = open_outbox(work / "outbox.db", fingerprint(root), "e" * 12, "t", None, parts(root))
    assert box.opening.kind == "kept", box.opening

    def shown(row: Any) -> dict[str, Any]:
        return {
            "outbox": row.outbox, "seq": row.seq, "first": row.numbers.start, "leaf": row.leaf,
            "retained": row.retained, "sha256": sha256(row.body).hexdigest(),
        }  # fmt: skip

    rows = box.waiting(0, 10_000)
    waiting = [shown(row) for row in rows]
    archived: list[dict[str, Any]] = []
    for span in box.spans():
        found = box.db.execute(
            "SELECT id, leaf, body, retained FROM entry WHERE id > ? AND id <= ? ORDER BY id",
            (span.base, span.receipted),
        ).fetchall()
        archived += [shown(box.row(place, leaf, bytes(body), bool(kept))[0]) for place, leaf, body, kept in found]
    marks = {str(key): bytes(value) for key, value in box.db.execute("SELECT key, value FROM mark ORDER BY key")}
    believed = {key: json.loads(value)["believed"] for key, value in marks.items() if key.startswith("judged:")}
    again = next_again(box)
    assert again
    resent, _ = rows_again(box, again, 50)
    walk = Walk(Wanted())
    scans = [scan_json(one) for one in walk.all(box)][::-1]
    voids = [(line, row.body) for line, row in zip(waiting, rows, strict=True) if b'"event":"void"' in row.body]
    for line, body in voids:
        (only,) = take(Arrived(topic(NAME, line["leaf"]), body, late=True)).rows
        line |= {"kind": only.kind, "covers": void_range(only.body, only.seq), "body": json.loads(body)}
    assert sorted(line["seq"] - line["first"] for line, _ in voids) == [0, 1], voids
    alive = AliveFile(beside(work / "outbox.db"))
    assert alive.before
    _save(
        "outbox",
        {
            "id": box.id,
            "fingerprint": box.fingerprint,
            "depth": box.depth()._asdict(),
            "hardware": [[fingerprint(root), sorted(parts(root))] for root in (root.with_name("root-1"), root)],
            "spans": [span._asdict() for span in box.spans()],
            "waiting": waiting,
            "archived": archived,
            "marks": {key: sha256(value).hexdigest() for key, value in marks.items()},
            "believed": {
                key.removeprefix("judged:"): [one["condition"], one["reason"]["code"]] for key, one in believed.items()
            },
            "gun": json.loads(marks["gun:counter"]),
            "flash": json.loads(marks["flash"]),
            "measured": json.loads(marks["measured:broadband/line"])["reading"]["measures"],
            "configuration": json.loads(marks["configuration"]),
            "spill": [body.decode() for _, body in spill.oldest(box, 1000)],
            "resent": [shown(row) for row in resent],
            "last_alive": msgspec.to_builtins(alive.before.alive),
            "good_s": alive.before.good_s,
            "last_run": msgspec.to_builtins(msgspec.json.decode(marks["life"], type=Run)),
            "export_key": (work / "export.pub").read_text().strip(),
        },
    )
    _save("scans", scans)
    alive.close()
    box.close()


def expected_store() -> None:
    """Read as SQLite, and the heads as the old store says them."""
    from agent.clock import SystemClock
    from agent.station import Terminal
    from center.store import Store

    file = Path("/tmp/yinong-expected/center.db")
    shutil.copy(OUT / "county/center.db", file)
    tables: dict[str, list[dict[str, Any]]] = {}
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.row_factory = sqlite3.Row
        for table in (
            "store",
            "terminal",
            "entry",
            "conflict",
            "set_aside",
            "head",
            "latest",
            "export_key",
            "parcel",
            "brought",
        ):
            found = [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]
            tables[table] = [
                {k: (v.hex() if k == "digest" else v.decode()) if isinstance(v, bytes) else v for k, v in row.items()}
                for row in found
            ]
    for row in tables["entry"]:
        for name in ("body", "division", "station", "terminal"):  # its digest stands beside it; one terminal
            del row[name]
    for row in tables["latest"]:
        row["sha256"] = sha256(row.pop("body").encode()).hexdigest()
    store = Store.open(f"sqlite:///{file}", SystemClock())
    terminal = Terminal.parse(NAME)
    heads = [[head.outbox, head.upto, list(head.parcels)] for head in store.heads((terminal, one) for one in OUTBOXES)]
    owed = [[head.outbox, head.upto, list(head.parcels)] for head in store.brought()]
    store.close()
    again = _delivered_again()
    assert len({row["outbox"] for row in tables["entry"]}) == 3  # ours, and one that was against the contract
    _save("store", {"id": store.id, "heads": heads, "owed": sorted(owed), "again": again, "tables": tables})


def _delivered_again() -> dict[str, int]:
    """What comes of all messages, delivered to the store once more: duplicates, and what a void holds the place of."""
    from agent.clock import SystemClock
    from center.intake import Arrived, take
    from center.store import Store

    file = Path("/tmp/yinong-expected/again.db")
    shutil.copy(OUT / "county/center.db", file)
    store = Store.open(f"sqlite:///{file}", SystemClock())
    messages = json.loads((OUT / "expected/messages.json").read_text("utf-8"))
    kept = store.keep(
        [
            take(Arrived(one["topic"], one["payload"].encode(), one["retain"], one["properties"]["user"] != []))
            for one in messages
            if not one["topic"].endswith("/receipt") and "/command/" not in one["topic"]
        ]
    )
    store.close()
    assert kept.stored == kept.set_aside == 0, kept
    return {name: getattr(kept, name) for name in ("stored", "duplicates", "conflicts", "set_aside")}


def expected_parcel() -> None:
    from agent.clock import SystemClock
    from agent.store.parcel import Reading, key_digits, sealed
    from center.importing import Imported, import_parcels
    from center.store import Store

    (path,) = (OUT / "stick").glob("*.yinong")
    with path.open("rb") as file:
        seal, reading = sealed(file), Reading(file)
        rows = [[row.outbox, row.seq, row.leaf, sha256(row.body).hexdigest()] for row in reading.rows()]
    store = Store.open("sqlite:////tmp/yinong-expected/center.db", SystemClock())
    (imported,) = import_parcels(store, [path], [])
    assert isinstance(imported, Imported)
    (again,) = import_parcels(store, [path], [])
    assert isinstance(again, Imported) and again.kept.stored == 0
    store.close()

    def kept(one: Imported) -> dict[str, Any]:
        counts = {name: getattr(one.kept, name) for name in ("stored", "duplicates", "conflicts", "set_aside")}
        return counts | {"heads": sorted([head.outbox, head.upto] for head in one.kept.heads)}

    _save(
        "parcel",
        {
            "file": path.name,
            "key": seal.key,
            "digits": key_digits(seal.key),
            "digest": seal.digest,
            "manifest": msgspec.to_builtins(reading.manifest),
            "rows": rows,
            "imported": kept(imported),
            "again": kept(again),
        },
    )


def expected_settings() -> None:
    from agent.configuration.settings import load
    from agent.life.sections import hashes_of
    from center.settings import load as load_center

    root = Path("/tmp/yinong-expected/root")
    files_of_the_configuration(root)
    loaded = load(OUT / "config/agent.toml", root, environ={})
    assert loaded.settings and not loaded.mistakes, loaded.mistakes
    classes = {kind.name for kind, _ in loaded.devices}
    from drivers.table import CLASSES

    assert classes == set(CLASSES)
    _save(
        "settings",
        {
            "settings": msgspec.to_builtins(loaded.settings),
            "password": loaded.secrets.password,
            "devices": [[kind.name, msgspec.to_builtins(driver)] for kind, driver in loaded.devices],
            "hashes": hashes_of(loaded),
            "center": msgspec.to_builtins(load_center(OUT / "config/center.toml")),
        },
    )


def files_of_the_configuration(root: Path) -> None:
    folder = root / "etc/yinong-agent"
    folder.mkdir(parents=True)
    for name in ("county-ca.pem", "terminal.crt", "terminal.key", "password"):
        (folder / name).write_text("secret\n")
        (folder / name).chmod(0o600)


def expected_recordings() -> None:
    expected: dict[str, Any] = {}
    for name, source in (("serial", "serial"), ("keyboard", "evdev"), ("hidpos", "hidpos")):
        command = [*AGENT, "replay", "--source", source, str(OUT / f"recordings/{name}.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        expected[name] = {"source": source, "captures": [json.loads(line) for line in done.stdout.splitlines()]}
        assert expected[name]["captures"]
    _save("recordings", expected)


def no_private_words() -> None:
    """Nothing of the machine that made it."""
    words = [socket.gethostname(), f"{Path.home()}/", "/work/", str(Path(sys.prefix))]
    words += [text.strip() for text in _read_all("/sys/class/net/*/address") if text.strip() != "00:00:00:00:00:00"]
    words += [text.strip() for text in _read_all("/etc/machine-id")]
    for file in OUT.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for word in words:
                found = re.escape(word.encode())
                bounded = found if "/" in word else rb"\b" + found + rb"\b"
                assert not re.search(bounded, data), f"{word} in {file}"
    print("checked for", len(words), "words;", sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file()), "bytes")


def _read_all(pattern: str) -> Iterator[str]:
    for path in Path("/").glob(pattern.lstrip("/")):
        with contextlib.suppress(OSError):
            yield path.read_text()


def main() -> None:
    from agent import VERSION

    assert VERSION and (BASE / "agent/store/row_file.py").exists(), "run it in a checkout of commit c3d9b2d"
    logging.basicConfig(level="WARNING")
    shutil.rmtree(OUT, ignore_errors=True)
    work = Path("/tmp/yinong-compat")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    configurations()
    recordings(work)
    try:
        life(work)
    finally:
        for one in RUNNING:
            if one.running:
                os.kill(one.pid, signal.SIGKILL)
    expected()
    no_private_words()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        daemon(json.loads(sys.argv[1]))
    else:
        main()
