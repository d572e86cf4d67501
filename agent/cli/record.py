"""`scan --record FILE`: all input of one gun, in a file from which `replay` reproduces the same captures."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from agent.cli.output import Terms
from agent.cli.scan import capture_json, show_capture
from agent.configuration.settings import load
from agent.control.socket import NoDaemon, send_request
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.recording import Entry, first_line, line


def record(
    say: Terms, config: Path, socket: Path, file: Path, gun: str | None, count: int | None, *, as_json: bool
) -> int:
    """Record until Ctrl+C or `count` captures. The gun is opened here, so no daemon may have it open. Publishes nothing."""
    _refuse_while_daemon_runs(say, socket)
    table = _one_gun(say, config, gun)
    try:
        with file.open("x", encoding="utf-8", newline="\n") as lines, contextlib.suppress(KeyboardInterrupt):
            lines.write(first_line(table) + "\n")

            def write_entry(entry: Entry) -> None:
                lines.write(line(entry) + "\n")
                lines.flush()

            print(say("请扫码（Ctrl+C 结束）……", "Scan something (Ctrl+C ends) …"), file=sys.stderr)
            asyncio.run(show_captures(table, Path("/"), write_entry, count, as_json=as_json))
    except OSError as error:
        zh, en = f"无法写入 {file}：{refused_by_system(error)}", f"cannot write {file}: {error.strerror}"
        raise YinongError(say(zh, en)) from error
    print(
        say(
            f"已录制到 {file}。重放：yinong-agent replay --source … {file}",
            f"recorded in {file}; yinong-agent replay --source … {file} reads it",
        ),
        file=sys.stderr,
    )
    return 0


async def show_captures(
    gun: ScanGun, root: Path, on_entry: Callable[[Entry], None], count: int | None, *, as_json: bool
) -> None:
    """Show the gun's captures until there are `count`; `on_entry` receives all input."""
    queue: asyncio.Queue[RawCapture] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(gun.listen(root, queue.put_nowait, asyncio.Event(), on_entry))
        seen = 0
        while count is None or seen < count:
            show_capture(capture_json(await queue.get()), as_json=as_json)
            seen += 1
        listening.cancel()


def _refuse_while_daemon_runs(say: Terms, socket: Path) -> None:
    try:
        list(send_request(socket, {"ask": "outbox"}, timeout_s=5))
    except NoDaemon:
        return
    raise YinongError(
        say(
            "监测程序正在使用扫码枪。请先停止：sudo systemctl stop yinong-agent；录完再启动：sudo systemctl start yinong-agent",
            "The running daemon has the gun. Stop it first: sudo systemctl stop yinong-agent; and afterwards: "
            "sudo systemctl start yinong-agent",
        )
    )


def _one_gun(say: Terms, config: Path, id: str | None) -> ScanGun:
    """The one gun to record: its table is written in the first line."""
    guns = [driver for _, driver in load(config).devices if isinstance(driver, ScanGun) and driver.configured]
    chosen = [gun for gun in guns if id in (None, gun.id)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(gun.id for gun in guns)
    if chosen:
        raise YinongError(
            say(f"有几把扫码枪，请用 --gun 指定一把：{names}", f"several guns: name one with --gun: {names}")
        )
    raise YinongError(
        say(
            f"{config} 里没有这样的扫码枪（{names or '一把也没有'}）。请运行 yinong-agent learn 添加",
            f"no such scan gun in {config} ({names or 'none at all'}); yinong-agent learn adds one",
        )
    )
