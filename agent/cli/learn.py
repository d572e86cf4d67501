"""`learn`: the officer scans three codes from the screen; the gun's table is derived and written."""

import asyncio
import contextlib
import sys
import termios
from collections.abc import Generator
from pathlib import Path

import msgspec

from agent.cli.config import append_table, config_check, free_id
from agent.cli.devices import table_of
from agent.cli.output import Terms
from agent.cli.screen_codes import ean13, qr, two_columns_a_character, two_rows_a_line
from agent.configuration.settings import load
from drivers.reading import Scalar, YinongError
from drivers.scan_gun.capture import Source
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.identity import Candidate, candidates, matching
from drivers.scan_gun.options import Speed
from drivers.scan_gun.recording import Entry
from drivers.scan_gun.replay.learning import CODES, Learned, typed_by
from drivers.scan_gun.replay.learning import learn as learned_from
from drivers.scan_gun.replay.listener import GunListener
from drivers.scan_gun.suggestions import suggest

MAX_WAIT_S = 120.0
SILENCE_S = 1.2  # after this the scan is complete


def learn(say: Terms, config: Path, baud: int, *, write: bool) -> int:
    """Exit code 0: learned (and written with `write`); 1: the gun must be configured differently first. Raises YinongError."""
    speed = _speed(say, baud)
    devices = candidates(Path("/"))
    if not devices:
        raise YinongError(say("没有检测到扫码枪，请先插好", "nothing here could be a scan gun: plug it in first"))
    try:
        with _echo_off():
            gun, learned = asyncio.run(learn_gun(say, devices, speed))
    except KeyboardInterrupt:
        return 130
    for zh, en in learned.notes:
        print("·", say(zh, en))
    if not learned.ok:
        return 1
    options = {**suggest(gun).options, **learned.options}
    if gun.source == "serial" and baud != 9600:
        options["baud"] = baud
    if not write:
        print("\n" + _table(gun, options, "gun") + "\n")
        print(say("加上 --write 可写入配置文件", f"--write appends it to {config}"), file=sys.stderr)
        return 0
    _refuse_duplicate(say, config, gun)
    table = _table(gun, options, free_id(config, "scan_gun", "gun"))
    append_table(say, config, table, "scan_gun")
    print(f"\n{table}\n")
    print(
        say(
            f"已写入 {config}；重启后生效：sudo systemctl restart yinong-agent",
            f"written to {config}; it counts after: sudo systemctl restart yinong-agent",
        )
    )
    for name in (driver.id for driver in _guns(config) if not driver.configured):
        print(say(f"表 {name} 没有指定扫码枪，可以删去", f"the table {name} names no gun: it can go"))
    return config_check(say, config, as_json=False)


def _speed(say: Terms, baud: int) -> Speed:
    try:
        return msgspec.convert(baud, Speed)
    except msgspec.ValidationError:
        raise YinongError(say(f"串口没有 {baud} 这种速率", f"{baud} is no speed of a serial line")) from None


def _guns(config: Path) -> list[ScanGun]:
    return [driver for _, driver in load(config).devices if isinstance(driver, ScanGun)]


def _refuse_duplicate(say: Terms, config: Path, gun: Candidate) -> None:
    for table in _guns(config):
        fits = matching([gun], table.usb, table.usb_port) if table.usb or table.usb_port else []
        if fits or table.port == str(gun.node):
            raise YinongError(
                say(
                    f"{config} 中的 {table.id} 已经是这把扫码枪。要重新识别，请先删去那个表",
                    f"{table.id} in {config} is this gun already: to learn it again remove that table first",
                )
            )


async def learn_gun(
    say: Terms,
    devices: list[Candidate],
    baud: Speed = 9600,
    *,
    silence_s: float = SILENCE_S,
    wait_s: float = MAX_WAIT_S,
) -> tuple[Candidate, Learned]:
    """Show the three codes one after the other; return the device that scanned them, and what was learned. Raises YinongError."""
    table = _Listeners(say, devices, baud, silence_s, wait_s)
    failed: list[YinongError] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(table.listen(name)) for name in table.listeners]
        try:
            return await _three_scans(say, table)
        except YinongError as error:  # as itself, not as an exception group
            failed.append(error)
        finally:
            for task in tasks:
                task.cancel()
    raise failed[0]


class _Listeners:
    """Listeners on all devices that may be the gun."""

    def __init__(self, say: Terms, devices: list[Candidate], baud: Speed, silence_s: float, wait_s: float) -> None:
        self._say, self._silence_s, self._wait_s = say, silence_s, wait_s
        self._received = asyncio.Event()
        self._failed: dict[str, OSError] = {}
        self.listeners = {str(device.node): GunListener(device, self._received, baud) for device in devices}

    async def listen(self, name: str) -> None:
        try:
            await self.listeners[name].listen()
        except OSError as error:
            self._failed[name] = error

    async def scan(self) -> dict[str, list[Entry]]:
        """The entries of each device until all are silent again. Raises YinongError if nothing is received."""
        for listener in self.listeners.values():
            listener.take_entries()
        if not await self._received_within(self._wait_s):
            raise self._nothing_scanned()
        while await self._received_within(self._silence_s):
            pass
        return {name: listener.take_entries() for name, listener in self.listeners.items()}

    async def _received_within(self, seconds: float) -> bool:
        self._received.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._received.wait()
        except TimeoutError:
            return False
        return True

    def _nothing_scanned(self) -> YinongError:
        names = "; ".join(f"{name}: {error.strerror or error}" for name, error in self._failed.items())
        stop = "sudo systemctl stop yinong-agent"
        zh, en = (
            f"没有收到扫码。如果监测程序正在使用扫码枪，请先停止：{stop}",
            f"Nothing was scanned. Is the daemon using the gun? {stop}",
        )
        return YinongError(self._say(zh, en) + (f" ({names})" if names else ""))


async def _three_scans(say: Terms, table: _Listeners) -> tuple[Candidate, Learned]:
    sources: dict[str, Source] = {name: listener.device.source for name, listener in table.listeners.items()}
    _show(say, 1, two_rows_a_line(qr(CODES.ascii)))
    entries = await table.scan()
    while (name := typed_by(entries, sources)) is None:
        print(say("读得不对，请再扫一次", "not read right: scan it again"), file=sys.stderr, flush=True)
        entries = await table.scan()
    listener, first = table.listeners[name], entries[name]
    listener.set_caps_led(True)
    try:
        _show(say, 2, two_rows_a_line(qr(CODES.chinese)))
        second = (await table.scan())[name]
    finally:
        listener.set_caps_led(False)
    _show(say, 3, two_columns_a_character(ean13(CODES.ean)))
    third = (await table.scan())[name]
    return listener.device, learned_from(listener.device.source, [first, second, third])


def _show(say: Terms, number: int, lines: list[str]) -> None:
    print(
        "\n" + say(f"第 {number} 个码（共 3 个），请用扫码枪扫屏幕：", f"Code {number} of 3: scan it from the screen:")
    )
    print("\n".join(lines), flush=True)


def _table(gun: Candidate, options: dict[str, Scalar], id: str) -> str:
    one = msgspec.structs.replace(suggest(gun), options=options)
    return f"# {one.label}\n{table_of(one, id)}" if one.label.isprintable() else table_of(one, id)


@contextlib.contextmanager
def _echo_off() -> Generator[None]:
    """What a keyboard gun types here is neither shown nor left in the input of the shell."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):  # not a terminal
        yield
        return
    silent = [*before]
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)
