"""The sheet of control cards: one HTML file for A4, each card a QR code as inline SVG with what it does. Fetches nothing."""

from collections.abc import Sequence
from html import escape

import segno

from common.codes.control_cards import ACTIONS, Card

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


def sheet(station: str, place: str, cards: Sequence[tuple[Card, str]], printed_on: str) -> str:
    """The document. `cards` are cards with their signed texts; `place` names the station for people."""
    boxes = "\n".join(_box(card, text) for card, text in cards)
    return f"""<!DOCTYPE html>
<html lang="zh-CN">
<head><meta charset="utf-8"><title>控制卡 {escape(place)}</title><style>{_STYLE}</style></head>
<body>
<header>
<h1>扫码枪控制卡 {escape(place)}</h1>
<p>{escape(station)},打印于 {escape(printed_on)}。用本站的扫码枪扫一下卡,即执行卡上所写的事;卡只在本站有效,不算商品。</p>
<p>环节、产品、批次一直有效,直到扫了别的卡或“清除”,关机后仍有效。请妥善保管,勿外传。</p>
</header>
<main>
{boxes}
</main>
</body>
</html>
"""


def _box(card: Card, text: str) -> str:
    action = ACTIONS[card.action]
    title = f"{action.zh}:{card.value}" if card.value else action.zh
    return f'<section class="card">{qr_svg(text)}<h2>{escape(title)}</h2><p>{escape(action.does_zh)}</p></section>'


def qr_svg(text: str) -> str:
    """A QR code with its quiet zone; level Q bears a quarter of it being dirty."""
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
