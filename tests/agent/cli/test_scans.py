"""`scans` and `cards` on a terminal whose daemon does not run: from the file, which is only read."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.sheets import texts_of

from agent.host.keys import CARD_KEY, card_key
from agent.outbox.opening import open_outbox
from agent.outbox.stamps import draft, sequenced
from common.codes.control_cards import Card, looks_like_card, parse_card
from common.messages import Capture

COMMAND = str(Path(sys.executable).parent / "yinong-agent")
FORMULA = '=HYPERLINK("http://x.example/")'


class Place:
    """A terminal's folder: configuration, outbox file, no daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outbox, self.config = folder, folder / "outbox.db", folder / "agent.toml"
        self.config.write_text(
            f'[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\nname = "<安太>"\n[broker]\nhost = "127.0.0.1"\ntls = false\n'
            f'[outbox]\npath = "{self.outbox}"\n',
            "utf-8",
        )

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        where = ["--socket", str(self.folder / "none.sock")]
        if "resend" not in arguments:
            where += ["--config", str(self.config)]
        run = subprocess.run(
            [COMMAND, "--lang", "en", *arguments, *where],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ},
        )
        assert run.returncode == code, run.stderr
        return run.stdout, run.stderr


@pytest.fixture
def place(tmp_path: Path, clock: Any) -> Place:
    one = Place(tmp_path)
    box = open_outbox(one.outbox, "f00d00000001", "0123456789ab", "t")
    for n, (text, other) in enumerate(
        [
            ("6901234567892", {"context": {"step": "receiving", "product": "沃柑"}}),
            (FORMULA, {"gun": "side"}),
            ("", {"damage": "line_error", "seen": "69", "flags": ("damaged",)}),
            ("a\x1db\nc", {}),
            ("early", {"clock": "unsynced"}),
            ("void", {}),
        ],
        1,
    ):
        given: dict[str, Any] = {
            **sequenced(clock), "gun": "main", "identity": "usb:1", "number": n, "source": "serial", "text": text, "raw": "00",
            "charset": "ascii", "charset_because": "ascii", "symbology": None, "start_mono_ms": 1, "end_mono_ms": clock.mono_ms(),
        }  # fmt: skip
        box.append([draft(clock, "scan", Capture(**{**given, **other}))])
    box.append([], {"voided:6": b"6"})
    box.close()
    return one


def test_the_list_is_readable_for_people(place: Place) -> None:
    out, _ = place.run("scans", "list")
    assert out.splitlines() == [
        "      1  2026-03-02 09:00:00  main#1  6901234567892  [receive, 沃柑, waiting]",
        f"      2  2026-03-02 09:00:00  side#2  {FORMULA}  [waiting]",
        "      3  2026-03-02 09:00:00  main#3  69  [damaged, waiting]",
        "      4  2026-03-02 09:00:00  main#4  a<1D>b<0A>c  [waiting]",
        "      5  time unknown         main#5  early  [waiting]",
        "      6  2026-03-02 09:00:00  main#6  void  [voided, waiting]",
    ]


def test_the_list_is_filtered(place: Place) -> None:
    def numbers(*arguments: str) -> list[int]:
        return [one["number"] for one in json.loads(place.run("scans", "list", "--json", *arguments)[0])["scans"]]

    assert numbers() == [1, 2, 3, 4, 5, 6]
    assert numbers("--gun", "side") == [2]
    assert numbers("--limit", "2") == [5, 6]
    assert numbers("--since", "2026-03-02T09:00:01+08:00") == [5]
    assert numbers("--since", "2026-03-02T09:00:00+08:00", "--gun", "main", "--limit", "1") == [6]
    assert "not yesterday" in place.run("scans", "list", "--since", "yesterday", code=2)[1]


def test_csv_keeps_the_text_and_contains_no_formula(place: Place) -> None:
    file = place.folder / "scans.csv"
    place.run("scans", "export", "--format", "csv", str(file))
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["text"] for row in rows] == ["6901234567892", f"'{FORMULA}", "", "a\x1db\nc", "early", "void"]
    assert [row["voided"] for row in rows] == ["False"] * 5 + ["True"]
    assert (rows[0]["step"], rows[0]["product"], rows[0]["batch"]) == ("receiving", "沃柑", "")


def test_json_has_everything_as_committed(place: Place) -> None:
    out, message = place.run("scans", "export", "-")
    form = json.loads(out)
    assert form["station"] == "450225-GXBRS0001B-1" and "6 captures" in message
    assert form["scans"][3]["text"] == "a\x1db\nc" and form["scans"][4]["scanned_at"] is None


def test_epcis_reports_what_it_leaves_out(place: Place) -> None:
    file = place.folder / "epcis.json"
    _, message = place.run("scans", "export", "--format", "epcis", str(file))
    assert "3 events; left out: 1 damaged, 1 voided, 1 without time" in message
    assert len(json.loads(file.read_text("utf-8"))["epcisBody"]["eventList"]) == 3


def test_a_file_that_cannot_be_written_is_reported_and_nothing_is_left_behind(place: Place) -> None:
    assert "cannot write" in place.run("scans", "export", str(place.folder / "none/x.json"), code=2)[1]
    assert "cannot write" in place.run("cards", "--out", str(place.folder / "none/x.html"), code=2)[1]


def test_sending_again_needs_the_daemon(place: Place) -> None:
    assert "no daemon runs" in place.run("scans", "resend", "1", "3", code=2)[1]


def test_the_sheet_is_printed_without_a_daemon_and_its_key_stays_for_it(place: Place) -> None:
    out = place.folder / "cards.html"
    place.run("cards", "--out", str(out), "--product", "沃柑 <A&B>", "--product", "砂糖橘", "--batch", "2026-03")
    sheet = out.read_text("utf-8")
    texts = texts_of(sheet)
    assert list(texts) == [
        "收货",
        "出库",
        "检测",
        "销售",
        "清除",
        "作废",
        "自检",
        "测速",
        "清单",
        "产品：沃柑 <A&B>",
        "产品：砂糖橘",
        "批次：2026-03",
    ]
    key = card_key(place.outbox)
    assert (place.folder / CARD_KEY).stat().st_mode & 0o777 == 0o600
    cards = {
        title: parse_card(text, key, "450225/GXBRS0001B") for title, text in texts.items() if looks_like_card(text)
    }
    assert cards["产品：沃柑 <A&B>"] == Card("PRODUCT", "沃柑 <A&B>") and cards["出库"] == Card("SHIP")
    assert all(isinstance(card, Card) for card in cards.values()) and len(cards) == len(texts)
    assert "size: A4" in sheet and "&lt;安太&gt;" in sheet and "<安太>" not in sheet
    assert not any(word in sheet for word in ("http:", "https:", "<script", "src="))


def test_a_product_that_fits_no_card_is_reported(place: Place) -> None:
    message = place.run("cards", "--out", str(place.folder / "c.html"), "--product", "柑" * 21, code=2)[1]
    assert "60 bytes" in message and not (place.folder / "c.html").exists()
