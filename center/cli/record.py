"""`yinong-center record`: the recorder, until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
from typing import Annotated

import typer

from center.cli.options import Broker, Config, StoreUrl, run, say, settings_of, start_log
from center.settings import Settings, broker_address
from common.clock import SystemClock

HELP = say("接收各站上报，入库后签收", "store what the stations send, then receipt it")


def command(
    config: Config = None,
    broker: Broker = None,
    store: StoreUrl = None,
    simulated: Annotated[bool, typer.Option(help=say("也接收模拟站点", "accept simulated stations too"))] = False,
) -> None:
    settings = settings_of(config, broker)
    start_log(settings.log.level)
    run(_record(settings, store or settings.store.url, simulated or settings.recorder.simulated))


async def _record(settings: Settings, url: str, simulated: bool) -> None:
    from center.recorder.recorder import Recorder
    from center.store.store import Store

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    clock = SystemClock()
    store = Store.open(url, clock)
    try:
        logging.getLogger("yinong").info("store %s, broker %s:%s", store.id, settings.broker.host, settings.broker.port)
        recorder = Recorder(store, clock, simulated=simulated)
        broker = broker_address(settings.broker)
        await recorder.run(broker, settings.recorder.client_id, settings.recorder.session_expiry_s, stop)
    finally:
        store.close()
