"""Draws the picture of the README from what `yinong-agent check --json` really said.

    yinong-agent check --json > check.json; python docs/picture.py check.json docs/check.png

Needs Chromium and a font with Chinese characters (apt: chromium fonts-noto-cjk).
"""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.terminal_theme import MONOKAI

from agent.cli.output import Terms, device_table, standard_table
from common.messages import Item

WIDTH = 124
CODE = """<!doctype html><meta charset="utf-8"><style>body{{margin:0;background:#0c0c0c;padding:18px 22px}}
pre,code{{font:16px/1.4 "Noto Sans Mono CJK SC";color:#d9d9d9;margin:0}}{stylesheet}</style><pre><code>{code}</code></pre>"""


def main(report_file: str, picture_file: str) -> None:
    report = json.loads(Path(report_file).read_text("utf-8"))
    say = Terms("zh")
    console = Console(width=WIDTH, record=True, force_terminal=True, file=io.StringIO())
    console.print("[bold]$ yinong-agent check[/]")
    if report["station"]:
        console.print(f"站点 {report['station']['number']}（{report['station']['name']}）")
    console.print(device_table(report["devices"], say))
    items = [
        msgspec.convert({k: row[k] for k in ("item", "verdict", "because", "params")}, Item)
        for row in report["standard"]
    ]
    console.print(standard_table(items, say))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(console.export_html(theme=MONOKAI, code_format=CODE), "utf-8")
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
             "--window-size=1040,860", f"--screenshot={picture_file}", page.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:3])
