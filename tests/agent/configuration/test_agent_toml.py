"""config/agent.toml: it loads, and it shows every option with its default."""

import re
from pathlib import Path

import pytest

from agent.configuration.mistakes import looks_like_a_secret
from agent.configuration.settings import Broker, Delivery, Log, OutboxSection, ScanSection, Settings, Station, load
from common.codes.platforms import PlatformRule
from common.standard.opening_hours import OpeningHours
from common.standard.rules import Attestation, Profiles, Rules, Waiver
from drivers.table import CLASSES

SAMPLE = Path(__file__).parents[3] / "config/agent.toml"
CA = "etc/yinong-agent/county-ca.pem"


@pytest.fixture
def sample(tmp_path):
    (tmp_path / CA).parent.mkdir(parents=True)
    (tmp_path / CA).touch()
    return load(SAMPLE, tmp_path, environ={})


def test_the_sample_loads_without_a_mistake(sample):
    assert sample.mistakes == () and sample.disabled == ()
    assert sample.settings.terminal.name == "450225-GXBRS0001B-1"
    assert [kind.name for kind, _ in sample.devices] == list(CLASSES)


def test_the_sample_shows_every_option_with_its_default(sample):
    settings = sample.settings
    assert settings.station == Station(division="450225", number="桂BRS0001B")
    assert settings.broker == Broker(host="mqtt.example.org")
    assert (settings.delivery, settings.outbox, settings.log) == (Delivery(), OutboxSection(), Log())
    assert settings.scan == ScanSection()
    assert (settings.opening_hours, settings.standard) == (OpeningHours(), Rules())
    for kind, driver in sample.devices:
        assert driver == kind.driver_type()(id=driver.id)


SECTIONS = {
    "station": Station, "broker": Broker, "delivery": Delivery, "opening_hours": OpeningHours, "outbox": OutboxSection,
    "scan": ScanSection, "log": Log, "standard": Rules, "standard.profiles": Profiles, "attested": Attestation, "waiver": Waiver,
    "platform": PlatformRule,
}  # fmt: skip


def options_named(text):
    """(section, option) of every line that sets one, also of those that are commented out."""
    named, section = set(), ""
    for line in text.splitlines():
        line = line.removeprefix("# ")
        if header := re.fullmatch(r"\[\[?([a-z_.]+)\]\]?", line):
            section = header[1]
        elif option := re.match(r"([A-Za-z0-9_]+) = ", line):
            if section == "device" and option[1] == "class":
                section = "device " + line.split('"')[1]
            named.add((section, option[1]))
        if not line:
            section = section.split(" ")[0] if section.startswith("device ") else section
    return named


def test_the_sample_names_every_option_of_every_struct_and_no_other():
    expected = {(name, option) for name, struct in SECTIONS.items() for option in struct.__struct_fields__}
    expected.remove(("standard", "profiles"))
    for name, kind in CLASSES.items():
        expected |= {(f"device {name}", option) for option in (*kind.driver_type().__struct_fields__, "class")}
    assert options_named(SAMPLE.read_text("utf-8")) == expected


def test_every_option_of_the_sample_has_a_comment_in_both_languages():
    blocks = re.findall(r"((?:^#.*\n)+)(?=[a-zA-Z0-9_]+ = )", SAMPLE.read_text("utf-8"), re.M)
    assert len(blocks) > 50
    for block in blocks:
        assert re.search(r"[\u4e00-\u9fff]", block), block
        assert re.search(r"[a-z]{3} [a-z]|[A-Z][a-z]+ [a-z]+", block), block


def test_every_section_has_a_struct():
    assert set(Settings.__struct_fields__) == {name for name in SECTIONS if "." not in name}


def test_no_option_of_ours_looks_like_a_secret():
    structs = [*SECTIONS.values(), *(kind.driver_type() for kind in CLASSES.values())]
    assert [o for struct in structs for o in struct.__struct_fields__ if looks_like_a_secret(o)] == []
