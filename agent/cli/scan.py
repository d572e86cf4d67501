"""`scan` (live view) and `replay`."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.output import Terms
from agent.configuration.settings import load
from agent.control.socket import NoDaemon, send_request
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError
from drivers.scan_gun.capture import RawCapture
from drivers.scan_gun.driver import ScanGun
from drivers.scan_gun.replay.errors import BadRecording
from drivers.scan_gun.replay.replay import Source
from drivers.scan_gun.replay.replay import replay as replayed


def camera(say: Terms, socket: Path, seconds: float, *, as_json: bool) -> int:
    """Let the daemon read codes with the camera; they are captures like those of a gun. Exit code 0 if something was read."""
    print(
        say(f"请把码对准摄像头（{seconds:g} 秒）……", f"Hold the code before the camera ({seconds:g} s) …"),
        file=sys.stderr,
    )
    read = 0
    try:
        with contextlib.suppress(KeyboardInterrupt):
            for line in send_request(socket, {"ask": "camera", "seconds": seconds, "lang": say.lang}):
                if "error" in line:
                    raise YinongError(line["error"])
                if "capture" in line:
                    show_capture(line["capture"], as_json=as_json)
                elif "card" in line:
                    _show_card(say, line["card"], as_json=as_json)
                else:
                    read = line.get("answer", {}).get("read", read)
    except NoDaemon as error:
        raise YinongError(
            say(
                "监测程序没有运行，请先启动：sudo systemctl start yinong-agent",
                "the daemon does not run: sudo systemctl start yinong-agent",
            )
        ) from error
    return 0 if read else 1


def scan(say: Terms, config: Path, socket: Path, count: int | None, *, as_json: bool) -> int:
    """Show captures until Ctrl+C or `count`; publishes nothing. Through the daemon if one runs."""
    print(say("请扫码（Ctrl+C 结束）……", "Scan something (Ctrl+C ends) …"), file=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            seen = 0
            for line in _from_daemon(socket):
                if "card" in line:
                    _show_card(say, line["card"], as_json=as_json)
                    continue
                show_capture(line["capture"], as_json=as_json)
                seen += 1
                if seen == count:
                    return 0
        except NoDaemon:
            asyncio.run(_own_view(say, config, count, as_json=as_json))
    return 0


def replay(say: Terms, file: Path, source: Source) -> int:
    """Print the captures of a recording as JSON lines."""
    try:
        with file.open(encoding="utf-8-sig", newline="\n") as lines:  # editors on Windows write a byte order mark
            for capture in replayed(lines, source):
                print(msgspec.json.encode(capture_json(capture)).decode())
    except OSError as error:
        raise YinongError(
            say(f"无法读取 {file}：{refused_by_system(error)}", f"cannot read {file}: {error.strerror}")
        ) from error
    except BadRecording as error:
        raise YinongError(say(f"{file} {error.zh}", f"{file}, {error.en}")) from error
    except UnicodeDecodeError as error:
        raise YinongError(
            say(
                f"{file} 不是 UTF-8 文字（第 {error.start} 字节）：请用 UTF-8 另存，并检查是不是录制文件",
                f"{file} is no text in UTF-8 (byte {error.start}): save it as UTF-8, and see whether it is a recording",
            )
        ) from error
    return 0


def capture_json(capture: RawCapture) -> dict[str, Any]:
    """A capture in the documented form; `start` and `end` in seconds on the clock of the recording (or of the boot)."""
    form: dict[str, Any] = msgspec.to_builtins(capture)
    form["start"], form["end"] = capture.start_mono_ms / 1000, capture.end_mono_ms / 1000
    return form


def _from_daemon(socket: Path) -> Iterator[dict[str, Any]]:
    for line in send_request(socket, {"ask": "scan"}):
        if "error" in line:
            raise YinongError(line["error"])
        if "capture" in line or "card" in line:
            yield line


async def _own_view(say: Terms, config: Path, count: int | None, *, as_json: bool) -> None:
    guns = [driver for _, driver in load(config).devices if isinstance(driver, ScanGun)]
    if not guns:
        raise YinongError(
            say(
                f"{config} 里没有扫码枪。运行 yinong-agent devices 可查看本机的扫码枪",
                f"no scan gun in {config}; yinong-agent devices lists those of this machine",
            )
        )
    queue: asyncio.Queue[RawCapture] = asyncio.Queue()
    seen = 0
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gun.listen(Path("/"), queue.put_nowait, asyncio.Event())) for gun in guns]
        while count is None or seen < count:
            show_capture(capture_json(await queue.get()), as_json=as_json)
            seen += 1
        for task in tasks:
            task.cancel()


def _show_card(say: Terms, card: dict[str, Any], *, as_json: bool) -> None:
    """Print the answer to a control card: in JSON an object `{"card": …}` among the captures."""
    if as_json:
        print(msgspec.json.encode({"card": card}).decode(), flush=True)
    else:
        print(
            f"{card['gun']}  {say('控制卡：', 'card: ')}{'✔' if card['ok'] else '✖'} {say(card['zh'], card['en'])}",
            flush=True,
        )


def show_capture(capture: dict[str, Any], *, as_json: bool) -> None:
    """Print a capture in one line."""
    if as_json:
        print(msgspec.json.encode(capture).decode(), flush=True)
    else:
        text = "".join(c if c.isprintable() else f"<{ord(c):02X}>" for c in capture["text"])
        flags = f"  [{', '.join(capture['flags'])}]" if capture["flags"] else ""
        print(f"{capture['gun']}  {capture['symbology'] or '-':4} {capture['charset']:8} {text}{flags}", flush=True)
