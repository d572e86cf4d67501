"""What the agent costs a terminal while nothing happens, compared with a bare paho + psutil loop in the same run.

Both run at once against one mosquitto, each through a counting proxy of its own; the agent with the shipped configuration (one
device of every class) and a recorder that receipts. After --settle seconds a window of --window seconds is measured.

  RSS, PSS      /proc/PID/status, smaps_rollup at the end of the window (highest RSS: VmHWM)
  CPU           the process's CPU clock over the window (CLOCK_PROCESS_CPUTIME_ID of its pid, ns) + cutime and cstime of its
                ended children (/proc/PID/stat, 10 ms), extrapolated to an hour
  first publish exec (just before fork) until the first PUBLISH passes the proxy
  MQTT          bytes by message: periodic messages at their known period; other messages in the window at that rate;
                messages before the window (connect, birth, every device and item once, receipts) twice a day, as one start
                and one daily report
  disk          write_bytes of /proc/PID/io (children included when they are reaped): before the window twice a day, as above,
                plus the window's rate; and the growth of the outbox's files
"""

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from counting_proxy import Count, CountingProxy, Tally
from stage import BIN, Stage, parser, print_machine, print_table, staged, wait_for

from agent.reports.telemetry import HEARTBEAT_S, TELEMETRY_S

DAY_S, TICK_S, BYTES_A_MB = 86_400, 0.01, 1_000_000
AGENT_PERIODS_S = {"heartbeat": HEARTBEAT_S, "telemetry": TELEMETRY_S}
BARE_PERIODS_S = {"heartbeat": 30, "telemetry": 30}


class Sample(NamedTuple):
    """A process and its line at one moment."""

    when: float
    own_cpu_s: float
    children_cpu_s: float
    written_bytes: int
    tally: Tally


class Cost(NamedTuple):
    """Of one process, ready to be shown."""

    rss_mb: float
    highest_rss_mb: float
    pss_mb: float
    own_cpu_s_hour: float
    children_cpu_s_hour: float
    first_publish_s: float
    mqtt_mb_day: float
    disk_mb_day: float
    threads: int
    by_message: list[tuple[str, float, float, float]]  # message, a day, bytes each, kB a day


class Measured:
    """One process under measurement."""

    def __init__(self, pid: int, started: float, proxy: CountingProxy, periods_s: Mapping[str, float]) -> None:
        self.pid, self._started, self._proxy, self._periods_s = pid, started, proxy, periods_s

    def sample(self) -> Sample:
        fields = _proc(self.pid, "stat").rpartition(")")[2].split()
        children = (int(fields[13]) + int(fields[14])) * TICK_S  # cutime, cstime
        own = time.clock_gettime(((~self.pid) << 3) | 2)  # clock_getcpuclockid(3): all threads, also ended ones
        written = int(_field(_proc(self.pid, "io"), "write_bytes"))
        return Sample(time.monotonic(), own, children, written, self._proxy.tally())

    def cost(self, before: Sample, after: Sample) -> Cost:
        window_s = after.when - before.when
        hours = window_s / 3600
        status, rollup = _proc(self.pid, "status"), _proc(self.pid, "smaps_rollup")
        by_message = list(_by_message(before.tally, after.tally.minus(before.tally), window_s, self._periods_s))
        assert after.tally.first_publish is not None
        return Cost(
            rss_mb=_kb(status, "VmRSS") / 1024,
            highest_rss_mb=_kb(status, "VmHWM") / 1024,
            pss_mb=_kb(rollup, "Pss") / 1024,
            own_cpu_s_hour=(after.own_cpu_s - before.own_cpu_s) / hours,
            children_cpu_s_hour=(after.children_cpu_s - before.children_cpu_s) / hours,
            first_publish_s=after.tally.first_publish - self._started,
            mqtt_mb_day=sum(kb for *_, kb in by_message) / 1000,
            disk_mb_day=(2 * before.written_bytes + (after.written_bytes - before.written_bytes) * DAY_S / window_s)
            / BYTES_A_MB,
            threads=int(_field(status, "Threads")),
            by_message=by_message,
        )


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--window", type=float, default=120, help="seconds that are measured (default 120)")
    arguments.add_argument("--settle", type=float, default=30, help="seconds before the window (default 30)")
    options = arguments.parse_args()
    if not 1 <= options.window <= 86_400 or not 1 <= options.settle <= 3600:
        arguments.error("--window 1 to 86400, --settle 1 to 3600")
    print_machine()
    with staged() as stage:
        stage.recorder()
        with CountingProxy(stage.broker.port) as to_agent, CountingProxy(stage.broker.port) as to_bare:
            agent, bare = _start_agent(stage, to_agent), _start_bare(stage, to_bare)
            print(f"settling {options.settle:.0f} s, then a window of {options.window:.0f} s", flush=True)
            time.sleep(options.settle)
            before, size_before = [one.sample() for one in (agent, bare)], _outbox_bytes(stage.folder)
            time.sleep(options.window)
            after, size_after = [one.sample() for one in (agent, bare)], _outbox_bytes(stage.folder)
            costs = [one.cost(b, a) for one, b, a in zip((agent, bare), before, after, strict=True)]
    _show(*costs, before[0], after[0], size_before, size_after)
    return 0


def _start_agent(stage: Stage, proxy: CountingProxy) -> Measured:
    started = time.monotonic()
    process = stage.agent(proxy.port)
    wait_for("the agent's first message", lambda: proxy.tally().first_publish)
    return Measured(_python(process.pid), started, proxy, AGENT_PERIODS_S)


def _start_bare(stage: Stage, proxy: CountingProxy) -> Measured:
    started = time.monotonic()
    command = [str(BIN / "python"), str(Path(__file__).with_name("bare_loop.py")), "--port", str(proxy.port)]
    process = stage.process("bare", command)
    wait_for("the bare loop's first message", lambda: proxy.tally().first_publish)
    return Measured(_python(process.pid), started, proxy, BARE_PERIODS_S)


def _python(pid: int) -> int:
    assert "python" in Path(f"/proc/{pid}/exe").resolve().name, f"process {pid} is not Python itself"
    return pid


def _by_message(start: Tally, window: Tally, window_s: float, periods_s: Mapping[str, float]):
    """Message, how many a day, bytes each, kB a day."""
    everything = {**start.by_message, **window.by_message}
    for message in sorted(everything, key=lambda name: (name.startswith("("), name)):
        early, late = start.by_message.get(message, Count()), window.by_message.get(message, Count())
        if message in periods_s:
            each = (early.bytes + late.bytes) / max(1, early.packets + late.packets)
            a_day = DAY_S / periods_s[message]
        else:
            size = late.bytes * DAY_S / window_s + (0 if message == "(ping)" else 2 * early.bytes)
            a_day = late.packets * DAY_S / window_s + (0 if message == "(ping)" else 2 * early.packets)
            each = size / a_day if a_day else 0
        if a_day:
            yield message, a_day, each, each * a_day / 1000


def _show(agent: Cost, bare: Cost, before: Sample, after: Sample, size_before: int, size_after: int) -> None:
    cpu = [f"{c.own_cpu_s_hour + c.children_cpu_s_hour:.2f}" for c in (agent, bare)]
    print_table(
        ("idle", "agent", "bare paho + psutil", "budget"),
        (
            ("RSS (MB)", f"{agent.rss_mb:.1f}", f"{bare.rss_mb:.1f}", "36"),
            ("  highest", f"{agent.highest_rss_mb:.1f}", f"{bare.highest_rss_mb:.1f}", ""),
            ("PSS (MB)", f"{agent.pss_mb:.1f}", f"{bare.pss_mb:.1f}", ""),
            ("CPU (s an hour)", *cpu, "2"),
            ("  of it children", *(f"{c.children_cpu_s_hour:.2f}" for c in (agent, bare)), ""),
            ("exec to first publish (s)", f"{agent.first_publish_s:.2f}", f"{bare.first_publish_s:.2f}", "0.6"),
            ("MQTT (MB a day)", f"{agent.mqtt_mb_day:.2f}", f"{bare.mqtt_mb_day:.2f}", "1"),
            ("written to disk (MB a day)", f"{agent.disk_mb_day:.1f}", f"{bare.disk_mb_day:.1f}", "30"),
            ("threads", agent.threads, bare.threads, ""),
        ),
    )
    for name, cost in (("agent", agent), ("bare loop", bare)):
        rows = [(m, f"{n:.0f}", f"{each:.0f}", f"{kb:.1f}") for m, n, each, kb in cost.by_message]
        print_table((f"MQTT of the {name}", "a day", "bytes each", "kB a day"), rows)
    print(
        f"agent's disk: {before.written_bytes / 1000:.0f} kB written before the window, "
        f"{(after.written_bytes - before.written_bytes) / 1000:.0f} kB in its {after.when - before.when:.0f} s; "
        f"outbox files {size_before / 1000:.0f} -> {size_after / 1000:.0f} kB\n"
        f"MQTT in the window as it was: {after.tally.minus(before.tally).bytes} bytes"
    )


def _outbox_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("outbox.db*"))


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text("utf-8")


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\s+(\S+)", text, re.MULTILINE)
    assert found, f"no {name}"
    return found[1]


def _kb(text: str, name: str) -> int:
    return int(_field(text, name))


if __name__ == "__main__":
    sys.exit(main())
