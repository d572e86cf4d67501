"""`scans list`, `scans resend` and `scans export`: the captures in the outbox file, waiting and archived."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from agent.cli.config import settings_of
from agent.cli.output import Terms, print_json
from agent.configuration.settings import Settings
from agent.control.socket import NoDaemon, send_request
from agent.outbox.archive import CaptureQuery, CaptureReader, StoredCapture
from agent.outbox.opening import read_only
from common.clock import SystemClock
from common.codes.control_cards import STEPS
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError

Format: TypeAlias = Literal["json", "csv", "epcis"]

COLUMNS = (
    "outbox", "seq", "scanned_at", "gun", "number", "text", "symbology", "step", "product", "batch", "flags", "damage",
    "seen", "voided", "state", "charset", "raw", "identity",
)  # fmt: skip


def capture_query(say: Terms, gun: str | None, since: str | None, limit: int | None) -> CaptureQuery:
    """`since` is a day, a day with time (of this machine's zone unless it has an offset), or an age: 90m, 12h, 7d."""
    return CaptureQuery(gun=gun, since=_since(say, since) if since else None, limit=limit)


def list_scans(say: Terms, config: Path, socket: Path, query: CaptureQuery, *, as_json: bool) -> int:
    """Print captures, the newest last."""
    stored = _stored(say, config, socket, query)
    if as_json:
        print_json({"scans": [scan_json(one) for one in stored]})
        return 0
    for one in stored:
        print(_line(say, one))
    if not stored:
        print(say("没有扫码记录", "no captures"), file=sys.stderr)
    return 0


def resend(say: Terms, socket: Path, first: int, last: int, outbox: str) -> int:
    """Have a range (numbers as `list` shows them) sent again by the daemon, which owns the file."""
    try:
        for line in send_request(
            socket, {"ask": "resend", "range": {"first": first, "last": last, "outbox": outbox}}, 60
        ):
            if "error" in line:
                raise YinongError(line["error"])
            if "answer" in line:
                answer = line["answer"]
                print(
                    say(
                        f"记录库 {answer['outbox']} 第 {first} 到 {last} 条：{answer['captures']} 条扫码将再次上报",
                        f"{answer['outbox']} {first} to {last}: {answer['captures']} captures go again",
                    )
                )
                return 0 if answer["captures"] else 1
    except NoDaemon as error:
        raise YinongError(
            say(
                "监测程序没有运行，不能重发。启动：sudo systemctl start yinong-agent",
                f"no daemon runs ({socket}): it is what sends again",
            )
        ) from error
    raise YinongError(say("监测程序中断了回应", "the running daemon broke off its answer"))


def export(say: Terms, config: Path, socket: Path, query: CaptureQuery, form: Format, file: Path) -> int:
    """Write captures to a file (`-`: standard output), oldest first; what is left out is reported on stderr."""
    settings = settings_of(say, config)
    stored = _stored(say, config, socket, query)
    if form == "epcis":
        text = _epcis(say, settings, stored)
    elif form == "csv":
        text = _csv(stored)
    else:
        text = _json_text({"station": settings.terminal.name, "scans": [scan_json(one) for one in stored]})
    _write(say, file, text)
    if form != "epcis":
        print(say(f"已导出 {len(stored)} 条", f"{len(stored)} captures exported"), file=sys.stderr)
    return 0


def scan_json(stored: StoredCapture) -> dict[str, Any]:
    """A capture in the documented form: as committed, with `state`, `voided` and `scanned_at` (null: unknown)."""
    at = stored.scanned_at
    return {
        **msgspec.to_builtins(stored.capture),
        "state": stored.state,
        "voided": stored.voided,
        "scanned_at": at and at.isoformat(timespec="milliseconds"),
    }


def _stored(say: Terms, config: Path, socket: Path, query: CaptureQuery) -> list[StoredCapture]:
    """From the daemon; if none runs from the file, which is only read. Oldest first."""
    try:
        stored = list(_from_daemon(say, socket, query))
    except NoDaemon:
        settings = settings_of(say, config)
        reader = CaptureReader(query)
        with read_only(Path(settings.outbox.path)) as box:
            stored = list(reader.all(box))
        _report_unreadable(say, reader.unreadable)
    return stored[::-1]


def _from_daemon(say: Terms, socket: Path, query: CaptureQuery) -> Iterator[StoredCapture]:
    for line in send_request(socket, {"ask": "scans", "wanted": msgspec.to_builtins(query)}, 60):
        if "error" in line:
            raise YinongError(line["error"])
        if "scan" in line:
            yield msgspec.convert(line["scan"], StoredCapture)
        if "answer" in line:
            _report_unreadable(say, line["answer"]["unreadable"])
            return
    raise YinongError(say("监测程序中断了回应", "the running daemon broke off its answer"))


def _report_unreadable(say: Terms, number: int) -> None:
    if number:
        print(say(f"有 {number} 条记录读不出", f"{number} records cannot be read"), file=sys.stderr)


def _line(say: Terms, stored: StoredCapture) -> str:
    capture = stored.capture
    at = stored.scanned_at.strftime("%Y-%m-%d %H:%M:%S") if stored.scanned_at else say("时间未知", "time unknown")
    step = STEPS.get(capture.context.get("step", ""))
    words = [say(step.zh, step.en)] if step else []
    words += [value for name in ("product", "batch") if (value := capture.context.get(name))]
    words += capture.flags
    words += [say("已作废", "voided")] if stored.voided else []
    words += [say("待签收", "waiting")] if stored.state == "waiting" else []
    text = "".join(c if c.isprintable() else f"<{ord(c):02X}>" for c in capture.text or capture.seen)
    return f"{capture.seq:>7}  {at:19}  {capture.gun}#{capture.number}  {text}" + (
        f"  [{', '.join(words)}]" if words else ""
    )


def _epcis(say: Terms, settings: Settings, stored: list[StoredCapture]) -> str:
    from common.codes.epcis import Scanned
    from common.codes.epcis import export as exported

    scans = (Scanned(one.capture, one.scanned_at, one.voided) for one in stored)
    result = exported(scans, settings.terminal, SystemClock().now(), settings.platform)
    print(
        say(
            f"已导出 {result.events} 个事件；未列入：损坏 {result.damaged}，作废 {result.voided}，时间未知 {result.untimed}",
            f"{result.events} events; left out: {result.damaged} damaged, {result.voided} voided, {result.untimed} without time",
        ),
        file=sys.stderr,
    )
    return _json_text(result.document)


def _csv(stored: list[StoredCapture]) -> str:
    """CSV with a byte order mark, so that spreadsheets detect UTF-8; import the columns as text, or digits are lost.

    A text that a spreadsheet would interpret as a formula gets a leading apostrophe; `raw` has the exact bytes.
    """
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for one in stored:
        form = {**scan_json(one), **one.capture.context, "flags": " ".join(one.capture.flags)}
        rows.writerow([_cell(form.get(name)) for name in COLUMNS])
    return "\ufeff" + out.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _json_text(form: dict[str, Any]) -> str:
    return json.dumps(form, ensure_ascii=False, indent=1) + "\n"


def _write(say: Terms, file: Path, text: str) -> None:
    """Write the file atomically."""
    if str(file) == "-":
        sys.stdout.write(text.removeprefix("\ufeff"))
        return
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        zh, en = f"无法写入 {file}：{refused_by_system(error)}", f"cannot write {file}: {error.strerror}"
        raise YinongError(say(zh, en)) from error


def _since(say: Terms, text: str) -> datetime:
    now = SystemClock().now()
    if age := re.fullmatch(r"([0-9]{1,5})([mhd])", text):
        return now - timedelta(minutes=int(age[1]) * {"m": 1, "h": 60, "d": 1440}[age[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise YinongError(
            say(
                f"--since 应如 2026-03-02、2026-03-02T08:00 或 12h、7d，而不是 {text}",
                f"--since is like 2026-03-02, 2026-03-02T08:00, 12h or 7d, not {text}",
            )
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
