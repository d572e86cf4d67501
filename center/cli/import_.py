"""`yinong-center import`: parcels that came by USB stick. The recorder may run on the same database."""

from pathlib import Path
from typing import Annotated

import typer

from center.cli.options import LANG, Config, StoreUrl, say, settings_of
from common.clock import SystemClock

HELP = say("导入 U 盘送来的数据包（yinong-agent export）", "import parcels that came by USB stick")


def command(
    paths: Annotated[list[Path], typer.Argument(help=say("文件，或 U 盘的文件夹", "files, or the stick's folder"))],
    config: Config = None,
    store: StoreUrl = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help=say("站点念出的核对码，可多次", "a fingerprint that the station read out; may be repeated")),
    ] = None,
) -> None:
    raise typer.Exit(_import(store or settings_of(config).store.url, paths, trust or []))


def _import(url: str, paths: list[Path], trusted: list[str]) -> int:
    """0: every parcel was imported; 1: one was rejected, or there was none."""
    from center.recorder.import_texts import NOTHING, RECEIPTS, lines
    from center.recorder.importing import RejectedParcel, import_parcels
    from center.store.store import Store

    store = Store.open(url, SystemClock(), create=False)
    try:
        count = rejected = 0
        for one in import_parcels(store, paths, trusted):
            count, rejected = count + 1, rejected + isinstance(one, RejectedParcel)
            print(*lines(one, LANG), sep="\n", flush=True)
    finally:
        store.close()
    if rejected < count or not count:
        print(say(*(RECEIPTS if count else NOTHING)))
    return 1 if rejected or not count else 0
