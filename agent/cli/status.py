"""`status` and `outbox`."""

from pathlib import Path
from typing import Any

from agent.cli.config import settings_of
from agent.cli.output import Terms, console, device_table, print_json
from agent.control.socket import NoDaemon, send_request
from agent.outbox.opening import peek
from drivers.reading import YinongError


def status(say: Terms, socket: Path, *, as_json: bool) -> int:
    """Exit code 0: it runs and the link is up; 1: it runs without a link; 2: no daemon."""
    try:
        answer = _answer(socket, {"ask": "status", "lang": say.lang})
    except NoDaemon:
        print(say("监测程序没有运行。启动：sudo systemctl start yinong-agent", f"no daemon runs ({socket})"))
        return 2
    if as_json:
        print_json(answer)
    else:
        _show(say, answer)
    return 0 if answer["link"]["up"] else 1


def outbox(say: Terms, config: Path, socket: Path, *, as_json: bool) -> int:
    """From the daemon, or from the file if none runs."""
    try:
        depth = _answer(socket, {"ask": "outbox"})
    except NoDaemon:
        settings = settings_of(say, config)
        depth = peek(Path(settings.outbox.path))._asdict()
    if as_json:
        print_json(depth)
    else:
        for line in _outbox_lines(say, depth):
            print(line)
    return 0


def _answer(socket: Path, request: dict[str, Any]) -> dict[str, Any]:
    for line in send_request(socket, request, 10):
        if "error" in line:
            raise YinongError(line["error"])
        if "answer" in line:
            return line["answer"]
    raise YinongError("监测程序没有回应 / the running daemon does not answer")


def _outbox_lines(say: Terms, depth: dict[str, Any]) -> list[str]:
    return [
        say(f"待县中心签收：{depth['waiting']} 条", f"waiting for the county's receipt: {depth['waiting']}"),
        say(f"已签收存档：{depth['archived']} 条", f"receipted, in the archive: {depth['archived']}"),
        say(
            f"记录库 {depth['outbox']}：最新第 {depth['last_seq']} 条，县中心已签收到第 {depth['receipted']} 条",
            f"outbox {depth['outbox']}: newest {depth['last_seq']}, receipted up to {depth['receipted']}",
        ),
        say(f"文件大小：{depth['file_bytes'] // 1024} KiB", f"file: {depth['file_bytes'] // 1024} KiB"),
    ]


def _flash_line(say: Terms, flash: dict[str, Any]) -> str:
    if flash["day_bytes"] is None:
        return say("写入硬盘：系统没有统计", "written to flash: the kernel keeps no account")
    written, budget, hours = flash["day_bytes"] / 1e6, flash["budget_bytes"] / 1e6, flash["day_s"] / 3600
    line = say(
        f"今日已写入硬盘 {written:.1f} MB（上限 {budget:.0f} MB）",
        f"written to flash in this day ({hours:.0f} h): {written:.1f} MB of {budget:.0f} MB",
    )
    if not flash["met"]:
        return line
    return line + say(
        "。已达上限：扫码照常保存，其他记录减少", "; the budget is met: scans are kept as ever, all else gives way"
    )


def _show(say: Terms, answer: dict[str, Any]) -> None:
    link, heartbeat = answer["link"], answer["heartbeat"]
    station = answer["station"]
    print(
        say(
            f"站点 {station['number']}（终端编号 {station['name']}）",
            f"station {station['number']}, terminal {station['name']}",
        )
    )
    minutes = heartbeat["uptime_s"] // 60
    print(
        say(
            f"已运行 {minutes} 分钟，版本 {answer['version']}",
            f"running for {minutes} min, version {answer['version']}",
        )
    )
    if link["up"]:
        print(
            say(
                f"已连接县中心（开机以来第 {link['connections']} 次连接）",
                f"connected to the county (connection {link['connections']})",
            )
        )
    else:
        print(say("未连接县中心", "not connected to the county"))
    for problem in link["troubles"]:
        print(f"  {problem['says']}")
        if problem["remedy"]:
            print(f"  → {problem['remedy']}")
    for line in [*_outbox_lines(say, answer["outbox"]), _flash_line(say, answer["flash"])]:
        print(line)
    console().print(device_table(answer["devices"], say))
