"""`yinong-center watch`: the stations live in the terminal."""

import sys
from typing import Annotated

import typer

from center.cli.options import LANG, Broker, Config, run, say, settings_of
from center.settings import broker_address
from common.clock import SystemClock

HELP = say("在命令行窗口实时查看各站", "the stations live in the terminal")
ONCE_S = 5.0  # for how long states are collected if the output is no terminal


def command(
    config: Config = None,
    broker: Broker = None,
    once: Annotated[float | None, typer.Option(help=say("几秒后打印一次就结束", "print once after N seconds"))] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=say("正常的设备也列出", "list devices that work, too"))
    ] = False,
) -> None:
    from center.live.watch import WatchScreen

    screen = WatchScreen(SystemClock(), LANG, show_all)
    if once is None and not sys.stdout.isatty():
        once = ONCE_S
    run(screen.run(broker_address(settings_of(config, broker).broker), once))
