"""`cards`: the sheet of control cards for this station's guns.

One HTML file for A4, each card a QR code as inline SVG with what it does. It fetches nothing.
"""

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

import segno

from agent.cli.config import settings_of
from agent.cli.output import Terms
from agent.configuration.settings import Settings
from agent.control.socket import NoDaemon, send_request
from agent.host.keys import card_key
from common.clock import SystemClock
from common.codes.control_cards import ACTIONS, WITH_VALUE, Card, card_text
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError

QUIET = 4  # modules around a QR code (ISO/IEC 18004)

_STYLE = """
@page { size: A4; margin: 12mm }
* { box-sizing: border-box }
body { font: 11pt "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "SimHei", sans-serif; color: #000; margin: 0 auto;
  max-width: 186mm }
header { border-bottom: .5mm solid #000; padding-bottom: 2mm; margin-bottom: 4mm }
h1 { font-size: 18pt; margin: 0 }
header p { margin: 1mm 0 0; font-size: 9.5pt }
main { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4mm }
.card { border: .3mm solid #000; border-radius: 2mm; padding: 2mm; text-align: center; break-inside: avoid }
.card svg { width: 38mm; height: 38mm; display: block; margin: 0 auto }
.card h2 { font-size: 17pt; margin: 1mm 0 0; overflow-wrap: anywhere }
.card p { font-size: 9pt; margin: .5mm 0 0 }
"""


def cards(say: Terms, config: Path, socket: Path, out: Path, products: Sequence[str], batches: Sequence[str]) -> int:
    """Write the sheet. A running daemon signs (only it may read its key); without one, the key next to the outbox does."""
    settings = settings_of(say, config)
    requested = [Card(code) for code in ACTIONS if code not in WITH_VALUE]
    requested += [Card("PRODUCT", name) for name in products] + [Card("BATCH", number) for number in batches]
    texts = _signed(say, settings, socket, requested)
    terminal, station = settings.terminal, settings.station
    place = " ".join(part for part in (station.township, station.name, str(terminal.number)) if part)
    today = SystemClock().now().strftime("%Y-%m-%d")
    text = sheet(terminal.name, place, list(zip(requested, texts, strict=True)), today)
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise YinongError(
            say(f"无法写入 {out}：{refused_by_system(error)}", f"cannot write {out}: {error.strerror}")
        ) from error
    print(
        say(
            f"已写入 {out}：{len(requested)} 张卡。请用浏览器打开，按 A4 原大打印。",
            f"{out}: {len(requested)} cards. Open it in a browser and print it on A4 at its own size.",
        ),
        file=sys.stderr,
    )
    return 0


def _signed(say: Terms, settings: Settings, socket: Path, requested: Sequence[Card]) -> list[str]:
    station = settings.terminal.key
    try:
        for line in send_request(socket, {"ask": "cards", "cards": [list(card) for card in requested]}, 10):
            if "error" in line:
                raise YinongError(line["error"])
            if "answer" in line:
                if line["answer"]["station"] != station:
                    raise YinongError(
                        say(
                            f"监测程序的站点是 {line['answer']['station']}，配置文件的是 {station}：请重启监测程序",
                            f"the daemon runs as {line['answer']['station']}, the file says {station}: restart it",
                        )
                    )
                return line["answer"]["texts"]
    except NoDaemon:
        key = card_key(Path(settings.outbox.path))
        return [card_text(key, station, card) for card in requested]
    raise YinongError(say("监测程序中断了回应", "the running daemon broke off its answer"))


def sheet(station: str, place: str, cards: Sequence[tuple[Card, str]], printed_on: str) -> str:
    """The HTML document. `cards` are cards with their signed texts; `place` is the station's name for people."""
    boxes = "\n".join(_box(card, text) for card, text in cards)
    return f"""<!DOCTYPE html>
<html lang="zh-CN">
<head><meta charset="utf-8"><title>控制卡 {escape(place)}</title><style>{_STYLE}</style></head>
<body>
<header>
<h1>扫码枪控制卡 {escape(place)}</h1>
<p>{escape(station)}，{escape(printed_on)} 打印。用本站扫码枪扫一下卡片，即执行卡上的操作；卡片仅限本站使用，不计入商品。</p>
<p>环节、产品、批次一直有效（关机后也有效），直到扫了别的卡或“清除”。请妥善保管，勿外传。</p>
</header>
<main>
{boxes}
</main>
</body>
</html>
"""


def _box(card: Card, text: str) -> str:
    action = ACTIONS[card.action]
    title = f"{action.zh}：{card.value}" if card.value else action.zh
    return f'<section class="card">{qr_svg(text)}<h2>{escape(title)}</h2><p>{escape(action.does_zh)}</p></section>'


def qr_svg(text: str) -> str:
    """A QR code with its quiet zone; error correction level Q recovers 25 %, for dirty cards."""
    rows = segno.make_qr(text, error="q", boost_error=False).matrix
    side = len(rows) + 2 * QUIET
    path = "".join(
        f"M{start + QUIET} {y + QUIET}h{length}v1h-{length}z"
        for y, row in enumerate(rows)
        for start, length in _dark_runs(row)
    )
    return (
        f'<svg viewBox="0 0 {side} {side}" shape-rendering="crispEdges" role="img">'
        f'<path fill="#fff" d="M0 0h{side}v{side}h-{side}z"/><path d="{path}"/></svg>'
    )


def _dark_runs(row: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for x, dark in enumerate(row):
        if dark and runs and sum(runs[-1]) == x:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif dark:
            runs.append((x, 1))
    return runs
