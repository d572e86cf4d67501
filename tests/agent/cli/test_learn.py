"""`learn`: a gun on a real line among others, and its table appended to agent.toml without changing anything else."""

import asyncio
import os
import pty
import tomllib
import tty
from pathlib import Path

import pytest

from agent.cli.config import append_table, free_id
from agent.cli.devices import table_of
from agent.cli.learn import learn_gun
from agent.cli.output import Terms
from agent.configuration.settings import load
from drivers.reading import YinongError
from drivers.scan_gun.identity import Candidate
from drivers.scan_gun.replay.learning import CODES
from drivers.scan_gun.suggestions import suggest
from drivers.table import CLASSES

say = Terms("en")
STATION = '[station]\ndivision = "450225"\nnumber = "桂BRS0001B"\n[broker]\nhost = "localhost"\nca_file = "{ca}"\n'
TABLE = '[[device]]\nclass = "scan_gun"\nid = "gun"\nusb = "1eab:1a06:7"\nsuffix = "cr"'


@pytest.fixture
def lines():
    made = [pty.openpty() for _ in range(2)]
    for _, port in made:
        tty.setraw(port)
    yield [(end, os.ttyname(port)) for end, port in made]
    for pair in made:
        for fd in pair:
            os.close(fd)


def file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "ca.pem").touch()
    config = tmp_path / "agent.toml"
    config.write_text(STATION.format(ca=tmp_path / "ca.pem") + text, "utf-8")
    return config


async def shown(capsys, what: str) -> None:
    seen = ""
    async with asyncio.timeout(20):
        while what not in seen:
            seen += "".join(capsys.readouterr())
            await asyncio.sleep(0.01)


async def test_the_gun_among_several_devices_is_identified_and_learned(lines, capsys):
    (other, _), (gun, _) = lines
    devices = [
        Candidate("serial", Path(node), "HR32", vendor="1eab", product="1a06", serial=str(n))
        for n, (_, node) in enumerate(lines)
    ]
    learning = asyncio.create_task(learn_gun(say, devices, silence_s=0.2))
    await shown(capsys, "Code 1 of 3")
    os.write(other, b"something else\r")
    await shown(capsys, "scan it again")
    os.write(gun, f"~{CODES.ascii}\r".encode())
    await shown(capsys, "Code 2 of 3")
    os.write(gun, f"~{CODES.chinese}\r".encode("gbk"))
    await shown(capsys, "Code 3 of 3")
    os.write(gun, f"~{CODES.ean}\r".encode())
    device, learned = await learning
    assert (device.serial, learned.ok) == ("1", True)
    assert learned.options == {"suffix": "cr", "prefix": "~", "charset": "gb18030"}
    assert 'usb = "1eab:1a06:1"' in table_of(suggest(device), "gun")


async def test_if_nothing_is_scanned_it_is_reported(lines, capsys):
    devices = [Candidate("serial", Path(lines[0][1]), "a"), Candidate("serial", Path("/dev/ttyACM99"), "b")]
    with pytest.raises(YinongError, match=r"Nothing was scanned.*ttyACM99"):
        await learn_gun(say, devices, wait_s=0.05)


def test_the_table_is_appended_and_every_other_byte_stays(tmp_path):
    config = file(
        tmp_path, '# 说明 — a comment\r\n[[device]]\nclass = "terminal"\nid = "main"  # last line without an end'
    )
    config.chmod(0o640)
    before = config.read_bytes()
    append_table(say, config, TABLE, "scan_gun")
    after = config.read_bytes()
    assert after == before + b"\n\n" + TABLE.encode() + b"\n"
    assert config.stat().st_mode & 0o777 == 0o640
    assert [(kind.name, driver.id) for kind, driver in load(config).devices] == [
        ("terminal", "main"),
        ("scan_gun", "gun"),
    ]
    assert load(config).mistakes == ()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_devices_that_were_found_automatically_still_are(tmp_path):
    config = file(tmp_path, "")
    assert {kind.name for kind, _ in load(config).devices} == set(CLASSES)
    append_table(say, config, TABLE, "scan_gun")
    found = {(kind.name, driver.id) for kind, driver in load(config).devices}
    assert found == {("scan_gun", "gun"), *((name, "main") for name in CLASSES if name != "scan_gun")}


def test_a_table_with_a_mistake_leaves_the_file_unchanged(tmp_path):
    config = file(tmp_path, TABLE)
    before = config.read_bytes()
    for wrong in (TABLE, TABLE.replace('"cr"', "3").replace('"gun"', '"b"'), "[[device]\n"):
        with pytest.raises(YinongError, match="not written"):
            append_table(say, config, wrong, "scan_gun")
    assert config.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.toml", "ca.pem"]


def test_mistakes_that_the_file_has_already_do_not_prevent_it(tmp_path):
    config = file(tmp_path, '[[device]]\nclass = "terminal"\nid = "main"\ncolour = 1\n')
    append_table(say, config, TABLE, "scan_gun")
    assert [m.path for m in load(config).mistakes] == ["device[1].colour"]
    assert tomllib.loads(config.read_text("utf-8"))["device"][1]["usb"] == "1eab:1a06:7"


def test_a_symbolic_link_stays_one(tmp_path):
    config = file(tmp_path, "")
    link = tmp_path / "etc.toml"
    link.symlink_to(config)
    append_table(say, link, TABLE, "scan_gun")
    assert link.is_symlink() and TABLE in config.read_text("utf-8")


def test_a_second_gun_gets_a_name_of_its_own(tmp_path):
    config = file(tmp_path, TABLE + '\n[[device]]\nclass = "printer"\nid = "gun-2"\n')
    assert free_id(config, "scan_gun", "gun") == "gun-2"
    assert free_id(config, "printer", "gun") == "gun"
