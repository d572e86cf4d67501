"""`yinong-center simulate`: a fleet of simulated stations."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from center.cli.options import Broker, Config, run, say, settings_of
from center.settings import SettingsError, broker_address
from common.clock import SystemClock

HELP = say("模拟许多站点（处处标明是模拟）", "simulate stations (marked as simulated everywhere)")
REGISTERS = (Path(__file__).parents[2] / "config/counties", Path("/etc/yinong-center/counties"))


def command(
    stations: Annotated[int, typer.Option(min=1, max=20_000, help=say("站点数", "how many"))] = 618,
    minutes: Annotated[float, typer.Option(min=0.01, help=say("运行几分钟", "for how many minutes"))] = 10,
    config: Config = None,
    broker: Broker = None,
    seed: Annotated[int, typer.Option(help=say("随机种子", "seed of the random events"))] = 1,
    pace: Annotated[float, typer.Option(min=0.01, help=say("事件快慢倍数", "events come N times as often"))] = 1,
    drain: Annotated[
        float, typer.Option(help=say("最后等待签收最多几秒", "seconds to wait for the last receipts, at most"))
    ] = 60,
    register: Annotated[Path | None, typer.Option(help=say("县名册", "register of the county"))] = None,
) -> None:
    """Exit code 0: every row was receipted; 1: some were not."""
    from center.simulator.fleet import Fleet, Plan
    from common.standard.register import load_register

    county = load_register(register or _register())
    address = broker_address(settings_of(config, broker).broker)
    plan = Plan(stations, minutes * 60, seed, pace, drain)
    fleet = Fleet(county, address, SystemClock(), plan, partial(print, flush=True))
    raise typer.Exit(0 if run(fleet.run()) else 1)


def _register() -> Path:
    found = next((path for folder in REGISTERS for path in sorted(folder.glob("*.toml"))), None)
    if found is None:
        raise SettingsError(
            ["缺少县名册，请用 --register 指定 / no register of the county found, name it by --register"]
        )
    return found
