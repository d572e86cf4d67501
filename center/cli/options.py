"""What the commands of `yinong-center` share: language, options, settings, log, running a coroutine."""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import typer

from center.settings import BrokerSettings, Settings, SettingsError, load
from common.labels import chosen_lang
from drivers.catalogue import Lang

DEFAULT_CONFIG = Path("/etc/yinong-center/center.toml")
LANG: Lang = chosen_lang(sys.argv[1:])


def say(zh: str, en: str) -> str:
    """The text in the language of this run."""
    return zh if LANG == "zh" else en


Config: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help=say("配置文件，默认为", "settings, by default") + f" {DEFAULT_CONFIG}")
]
Broker: TypeAlias = Annotated[
    str | None, typer.Option("--broker", help=say("服务器的主机名和端口", "the broker, host:port"))
]
StoreUrl: TypeAlias = Annotated[str | None, typer.Option("--store", help=say("数据库地址", "URL of the database"))]


def settings_of(config: Path | None, broker: str | None = None) -> Settings:
    """The settings of the file, with the command line's broker. Raises SettingsError.

    Without --config the file at the usual place is read; if there is none, the defaults hold.
    """
    settings = load(config or DEFAULT_CONFIG) if config or DEFAULT_CONFIG.is_file() else Settings()
    if broker is None:
        return settings
    host, _, port = broker.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError([f"--broker {broker}：应如 127.0.0.1:1883 / it looks like 127.0.0.1:1883"])
    address: BrokerSettings = msgspec.structs.replace(settings.broker, host=host, port=int(port))
    return msgspec.structs.replace(settings, broker=address)


def start_log(level: str) -> None:
    """To stderr, from this level on."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; Ctrl+C is exit code 130 without a traceback."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
