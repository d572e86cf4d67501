"""`yinong-center`: record, import, watch, simulate, in Chinese or English. The only module that knows typer."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from center.settings import BrokerSettings, Settings, SettingsError, broker_address, load
from common.clock import SystemClock
from common.labels import chosen_lang, without_lang
from common.mqtt.session import Broker
from drivers.catalogue import Lang
from drivers.reading import YinongError

DEFAULT_CONFIG = Path("/etc/yinong-center/center.toml")
REGISTERS = (Path(__file__).parents[2] / "config/counties", Path("/etc/yinong-center/counties"))


def main() -> None:
    """Entry point of the command `yinong-center`."""
    try:
        build(chosen_lang(sys.argv[1:]))(args=without_lang(sys.argv[1:]))
    except YinongError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def build(lang: Lang) -> typer.Typer:
    """The command line in one language."""

    def say(zh: str, en: str) -> str:
        return zh if lang == "zh" else en

    app = typer.Typer(
        name="yinong-center", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        help=say("益农信息社县级运营中心:记录、导入、查看、模拟。", "The county's side: record, import, watch, simulate."),
    )  # fmt: skip
    config_option = typer.Option("--config", help=say("配置文件,缺省为", "settings, by default") + f" {DEFAULT_CONFIG}")
    broker_option = typer.Option("--broker", help=say("服务器 主机:端口", "the broker, host:port"))

    @app.callback()
    def everywhere(_lang: Annotated[str, typer.Option("--lang", help="zh | en")] = lang) -> None:  # pyright: ignore
        """`--lang` may stand anywhere and was read before the texts were made; here it is only declared."""

    @app.command(help=say("接收各站上报,入库后回执", "store what the stations send, then receipt it"))
    def record(  # pyright: ignore
        config: Annotated[Path | None, config_option] = None,
        broker: Annotated[str | None, broker_option] = None,
        store: Annotated[str | None, typer.Option(help=say("数据库地址", "URL of the database"))] = None,
        simulated: Annotated[bool, typer.Option(help=say("也接收模拟站点", "take simulated stations too"))] = False,
    ) -> None:
        settings = _settings(config, broker)
        _log(settings.log.level)
        url = store or settings.store.url
        take = simulated or settings.recorder.simulated
        _run(_record(settings, url, take))

    @app.command("import", help=say("导入U盘送来的数据包(yinong-agent export)", "take parcels that came by USB stick"))
    def import_(  # pyright: ignore
        paths: Annotated[list[Path], typer.Argument(help=say("文件,或U盘的文件夹", "files, or the stick's folder"))],
        config: Annotated[Path | None, config_option] = None,
        store: Annotated[str | None, typer.Option(help=say("数据库地址", "URL of the database"))] = None,
        trust: Annotated[
            list[str] | None,
            typer.Option(
                help=say("站点念出的签名指纹,可多次", "a fingerprint that the station read out; may be repeated")
            ),
        ] = None,
    ) -> None:
        raise typer.Exit(_import(lang, store or _settings(config, None).store.url, paths, trust or []))

    @app.command(help=say("在终端里实时查看各站", "the stations live in the terminal"))
    def watch(  # pyright: ignore
        config: Annotated[Path | None, config_option] = None,
        broker: Annotated[str | None, broker_option] = None,
        once: Annotated[
            float | None, typer.Option(help=say("几秒后打印一次就结束", "print once after so many seconds"))
        ] = None,
        wide: Annotated[
            bool, typer.Option("--all", help=say("正常的设备也列出", "list devices that work, too"))
        ] = False,
    ) -> None:
        from center.live.watch import WatchScreen

        view = WatchScreen(SystemClock(), lang, wide)
        if once is None and not sys.stdout.isatty():
            once = 5.0
        _run(view.run(_broker(_settings(config, broker)), once))

    @app.command(help=say("模拟许多站点(处处标明是模拟)", "simulate stations (marked as simulated everywhere)"))
    def simulate(  # pyright: ignore
        stations: Annotated[int, typer.Option(min=1, max=20_000, help=say("站点数", "how many"))] = 618,
        minutes: Annotated[float, typer.Option(min=0.01, help=say("运行几分钟", "for how many minutes"))] = 10,
        config: Annotated[Path | None, config_option] = None,
        broker: Annotated[str | None, broker_option] = None,
        seed: Annotated[int, typer.Option(help=say("随机种子", "seed of the lives"))] = 1,
        pace: Annotated[
            float, typer.Option(min=0.01, help=say("事件快慢倍数", "events come so many times as often"))
        ] = 1,
        drain: Annotated[
            float, typer.Option(help=say("最后等回执最多几秒", "wait so long for the last receipts"))
        ] = 60,
        register: Annotated[Path | None, typer.Option(help=say("县名册", "register of the county"))] = None,
    ) -> None:
        from center.simulator.fleet import Fleet, Plan
        from common.standard.register import load_register

        county = load_register(register or _register())
        plan = Plan(stations, minutes * 60, seed, pace, drain)
        fleet = Fleet(county, _broker(_settings(config, broker)), SystemClock(), plan, partial(print, flush=True))
        raise typer.Exit(0 if _run(fleet.run()) else 1)

    return app


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
        await recorder.run(_broker(settings), settings.recorder.client_id, settings.recorder.session_expiry_s, stop)
    finally:
        store.close()


def _import(lang: Lang, url: str, paths: list[Path], trusted: list[str]) -> int:
    """0 all were taken, 1 one was refused or there was none. The recorder may run on the same database."""
    from center.recorder import import_texts as import_words
    from center.recorder.importing import RejectedParcel, import_parcels
    from center.store.store import Store

    store = Store.open(url, SystemClock(), create=False)
    try:
        count = refused = 0
        for one in import_parcels(store, paths, trusted):
            count, refused = count + 1, refused + isinstance(one, RejectedParcel)
            print(*import_words.lines(one, lang), sep="\n", flush=True)
    finally:
        store.close()
    if refused < count or not count:
        said = import_words.RECEIPTS if count else import_words.NOTHING
        print(said[0 if lang == "zh" else 1])
    return 1 if refused or not count else 0


def _settings(config: Path | None, address: str | None) -> Settings:
    """The file's settings (its absence at the usual place is no mistake), with the command line's broker."""
    settings = load(config or DEFAULT_CONFIG) if config or DEFAULT_CONFIG.is_file() else Settings()
    if address is None:
        return settings
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError([f"--broker {address}: 应如 / like 127.0.0.1:1883"])
    broker: BrokerSettings = msgspec.structs.replace(settings.broker, host=host, port=int(port))
    return msgspec.structs.replace(settings, broker=broker)


def _broker(settings: Settings) -> Broker:
    return broker_address(settings.broker)


def _register() -> Path:
    found = next((path for folder in REGISTERS for path in sorted(folder.glob("*.toml"))), None)
    if found is None:
        raise SettingsError(
            ["没有找到县名册,请用 --register 指定 / no register of the county found, name it by --register"]
        )
    return found


def _log(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
