"""What the benchmarks share: a broker, a recorder and an agent on loopback in a folder of their own, and a table.

Every process that is started here is ended here, by its pid.
"""

import argparse
import compileall
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from unicodedata import east_asian_width

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.broker import Broker  # noqa: E402

__all__ = ["Broker", "Stage", "parser", "print_table", "staged", "wait_for"]

BIN = Path(sys.executable).parent
NAME = "450225-GXBRS0001B-1"
SAMPLE_GUN = '[[device]]\nclass = "scan_gun"\nid = "gun"\nsource = "serial"\nport = "{port}"\nsuffix = "cr"\n'


class Stage:
    """A folder with a running broker; `recorder`, `agent` and `process` start more, as long as the stage exists."""

    def __init__(self, folder: Path, broker: Broker, stack: contextlib.ExitStack) -> None:
        self.folder, self.broker = folder, broker
        self._stack = stack

    def recorder(self) -> subprocess.Popen[bytes]:
        """`yinong-center record`, connected when this returns."""
        store = f"sqlite:///{self.folder}/center.db"
        command = [str(BIN / "yinong-center"), "record", "--broker", self.broker.address, "--store", store]
        process = self.process("record", command)
        log = self.folder / "record.log"
        wait_for("the recorder's connection", lambda: b"connected" in log.read_bytes())
        return process

    def agent(self, port: int, devices: str | None = None) -> subprocess.Popen[bytes]:
        """`yinong-agent run` with the shipped agent.toml; its files in this folder, its broker at `port`.

        `devices`: other `[[device]]` tables than the shipped ones.
        """
        config = self.folder / "agent.toml"
        config.write_text(self._settings(port, devices), "utf-8")
        return self.process("agent", [*self.agent_command("run"), "--socket", str(self.socket)])

    def agent_command(self, command: str) -> list[str]:
        return [str(BIN / "yinong-agent"), command, "--config", str(self.folder / "agent.toml")]

    @property
    def socket(self) -> Path:
        return self.folder / "agent.sock"

    def process(self, name: str, command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start it, its output in `<name>.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log, env=environment())
        self._stack.callback(end, process)
        return process

    def _settings(self, port: int, devices: str | None) -> str:
        text = (ROOT / "config/agent.toml").read_text("utf-8").replace("/var/lib/yinong-agent", str(self.folder))
        for shipped, here in (
            ('host = "mqtt.example.org"', 'host = "127.0.0.1"'),
            ("port = 8883", f"port = {port}"),
            ("tls = true", "tls = false"),
        ):
            assert text.count(shipped) == 1, f"config/agent.toml has no single line {shipped!r}"
            text = text.replace(shipped, here)
        return text if devices is None else text[: text.index("\n[[device]]")] + "\n" + devices


@contextlib.contextmanager
def staged() -> Generator[Stage]:
    """A stage with a running broker; every process on it is ended afterwards."""
    for folder in ("common", "agent", "drivers"):  # as pip does when it installs: the first start compiles nothing
        compileall.compile_dir(ROOT / folder, quiet=2)
    with tempfile.TemporaryDirectory(prefix="yinong-bench-") as name, contextlib.ExitStack() as stack:
        broker = stack.enter_context(Broker(Path(name)))
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _interrupted))
        try:
            yield Stage(Path(name), broker, stack)
        except SystemExit:  # a wait timed out: print the processes' logs
            for log in Path(name).glob("*.log"):
                print(f"{log.name}: {log.read_text('utf-8', 'replace')[-1500:]}", file=sys.stderr)
            raise


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Signal it to end; kill it if it does not within ten seconds."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """As at a station: compiled modules, no PYTHON variables, and glibc's setting of the unit."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {"MALLOC_ARENA_MAX": "1"}


def wait_for(what: str, ready: Callable[[], object], timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


def parser(description: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def print_machine() -> None:
    """Print the machine of the figures, and its load."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    print(f"{time.strftime('%Y-%m-%d')}  commit {commit or '?'}  {os.cpu_count()} cores, {system}", end=", ")
    print(f"Python {platform.python_version()}  load {load}", flush=True)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    cells = [list(head), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(head))]
    for number, row in enumerate(cells):
        padded = [
            cell + " " * (width - _width(cell)) if i == 0 else " " * (width - _width(cell)) + cell
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print(flush=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def _width(text: str) -> int:
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
