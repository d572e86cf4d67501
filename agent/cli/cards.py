"""`cards`: the sheet of control cards for this station's guns."""

import sys
from collections.abc import Sequence
from pathlib import Path

from agent.cli.card_sheet import sheet
from agent.cli.terms import Terms
from agent.configuration.settings import Settings, load
from agent.control.socket import NoDaemon, ask
from agent.host.card_key import card_key
from common.clock import SystemClock
from common.codes.control_cards import ACTIONS, WITH_VALUE, Card, make
from drivers.reading import YinongError


def cards(say: Terms, config: Path, socket: Path, out: Path, products: Sequence[str], batches: Sequence[str]) -> int:
    """Write the sheet. The daemon signs where one runs (its key is not ours to read); else the key beside the outbox does."""
    settings = load(config).settings
    if settings is None:
        raise YinongError(say(f"{config} 不可用", f"{config} cannot be used"))
    wished = [Card(code) for code in ACTIONS if code not in WITH_VALUE]
    wished += [Card("PRODUCT", name) for name in products] + [Card("BATCH", number) for number in batches]
    texts = _signed(say, settings, socket, wished)
    terminal, station = settings.terminal, settings.station
    place = " ".join(part for part in (station.township, station.name, str(terminal.number)) if part)
    today = SystemClock().now().strftime("%Y-%m-%d")
    text = sheet(terminal.name, place, list(zip(wished, texts, strict=True)), today)
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise YinongError(say(f"无法写入 {out}:{error.strerror}", f"cannot write {out}: {error.strerror}")) from error
    print(
        say(
            f"已写入 {out}:{len(wished)} 张卡。用浏览器打开并按 A4 原大打印。",
            f"{out}: {len(wished)} cards. Open it in a browser and print it on A4 at its own size.",
        ),
        file=sys.stderr,
    )
    return 0


def _signed(say: Terms, settings: Settings, socket: Path, wished: Sequence[Card]) -> list[str]:
    station = settings.terminal.key
    try:
        for line in ask(socket, {"ask": "cards", "cards": [list(card) for card in wished]}, 10):
            if "error" in line:
                raise YinongError(line["error"])
            if "answer" in line:
                if line["answer"]["station"] != station:
                    raise YinongError(
                        say(
                            f"运行中的程序是 {line['answer']['station']},配置文件是 {station}:请重启程序",
                            f"the daemon runs as {line['answer']['station']}, the file says {station}: restart it",
                        )
                    )
                return line["answer"]["texts"]
    except NoDaemon:
        key = card_key(Path(settings.outbox.path))
        return [make(key, station, card) for card in wished]
    raise YinongError(say("运行中的程序中断了回答", "the running daemon broke off its answer"))
