"""`make run`: a real broker, the recorder and the agent for this machine, all on loopback, until Ctrl+C.

Nothing is faked: the devices shown are this machine's own. All files are in one folder, and every process started here is
stopped here, by its pid.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "config"
BIN = Path(sys.executable).parent
START_S = 30.0


def main() -> int:
    """Exit code 0 after Ctrl+C, or with --once after everything was receipted; 1 if it was not."""
    parser = argparse.ArgumentParser(prog="make run")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the broker's, recorder's and agent's files go"
    )
    parser.add_argument("--once", action="store_true", help="end when the first reports are receipted")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as running:
        try:
            return _demo(options.folder.resolve(), running, once=options.once or not sys.stdout.isatty())
        except KeyboardInterrupt:
            return 0


def _demo(folder: Path, running: contextlib.ExitStack, *, once: bool) -> int:
    port, control = _free_port(1883), folder / "agent.sock"
    _announce(f"1/4 启动服务器 mosquitto（127.0.0.1:{port}）", f"starting mosquitto on 127.0.0.1:{port}")
    _broker_files(folder, port)
    running.enter_context(_process("mosquitto", [_mosquitto(), "-c", str(folder / "mosquitto.conf")], folder))
    _wait("mosquitto", lambda: _is_listening(port))
    _announce("2/4 启动县中心接收程序", "starting the county's recorder")
    recorder = [
        str(BIN / "yinong-center"),
        "record",
        "--broker",
        f"127.0.0.1:{port}",
        "--store",
        f"sqlite:///{folder}/center.db",
    ]
    running.enter_context(_process("record", [*recorder, "--simulated"], folder))
    _wait("yinong-center record", lambda: b"connected" in (folder / "record.log").read_bytes())
    _announce("3/4 启动本机的监测程序，检查本机设备", "starting the agent for this machine and checking its devices")
    (folder / "agent.toml").write_text(_agent_toml(folder, port), "utf-8")
    agent = [str(BIN / "yinong-agent"), "run", "--config", str(folder / "agent.toml"), "--socket", str(control)]
    running.enter_context(_process("agent", agent, folder))
    _wait("yinong-agent", control.exists)
    subprocess.run([str(BIN / "yinong-agent"), "check", "--socket", str(control)], check=False)
    _announce("4/4 等待县中心签收", "waiting for the county's receipts")
    receipted = _wait_for_receipts(control)
    _print_commands(port, folder, control)
    if once:
        return 0 if receipted else 1
    subprocess.run([str(BIN / "yinong-center"), "watch", "--broker", f"127.0.0.1:{port}", "--all"], check=False)
    return 0


def _broker_files(folder: Path, port: int) -> None:
    """The shipped configuration with this folder and port; as root, `user root` keeps mosquitto from changing its user."""
    text = (CONFIG / "mosquitto.conf").read_text("utf-8")
    text = text.replace("listener 1883 127.0.0.1", f"listener {port} 127.0.0.1").replace(
        "/var/lib/mosquitto/", f"{folder}/"
    )
    user = "user root\n" if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(user + text, "utf-8")


def _agent_toml(folder: Path, port: int) -> str:
    return (
        "# 本机试用 / this machine, for a try\n"
        '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\nname = "本机试用"\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n'
        f'[outbox]\npath = "{folder}/outbox.db"\n'
    )


def _print_commands(port: int, folder: Path, control: Path) -> None:
    agent, center = BIN / "yinong-agent", BIN / "yinong-center"
    _announce("已经运行。另开一个窗口可以：", "it runs. In another window:")
    for command, zh, en in (
        (f"mosquitto_sub -p {port} -t 'yinong/1/#' -v", "看全部消息", "every message"),
        (f"{center} watch --broker 127.0.0.1:{port} --all", "从县中心看各站", "the county's view"),
        (f"{agent} status --socket {control}", "监测程序在做什么", "what the agent is doing"),
        (f"{agent} check --socket {control} --json", "再检查一遍", "look again"),
        (
            f"{center} simulate --stations 618 --broker 127.0.0.1:{port}",
            "加 618 个模拟站",
            "add 618 simulated stations",
        ),
    ):
        print(f"  {command}\n      {zh} / {en}")
    print(f"  日志 / logs: {folder}/*.log", flush=True)


def _wait_for_receipts(control: Path) -> bool:
    """Wait until the agent's outbox is empty; print how many records the county has. False after START_S."""
    answer: dict[str, int] = {"waiting": -1, "receipted": 0}
    until = time.monotonic() + START_S  # noqa: TID251  a script that waits for processes, not part of the agent
    while time.monotonic() < until:  # noqa: TID251
        asked = subprocess.run(
            [str(BIN / "yinong-agent"), "outbox", "--json", "--socket", str(control)], capture_output=True, check=False
        )
        with contextlib.suppress(ValueError):
            answer = json.loads(asked.stdout)
        if answer["waiting"] == 0:
            _announce(
                f"县中心已签收 {answer['receipted']} 条记录", f"the county has receipted {answer['receipted']} records"
            )
            return True
        time.sleep(0.3)  # noqa: TID251
    _announce(
        f"{START_S:.0f} 秒内没有全部签收：{answer}", f"not everything was receipted within {START_S:.0f} s: {answer}"
    )
    return False


@contextlib.contextmanager
def _process(name: str, command: list[str], folder: Path) -> Generator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(name: str, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + START_S  # noqa: TID251
    while not ready():
        if time.monotonic() > until:  # noqa: TID251
            sys.exit(f"{name} 没有启动 / did not start")
        time.sleep(0.05)  # noqa: TID251


def _is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_port(wanted: int) -> int:
    """The wanted port, or a free one if something already listens there."""
    if not _is_listening(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mosquitto() -> str:
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def _announce(zh: str, en: str) -> None:
    print(f"== {zh} / {en}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
