"""agent.toml: the sample, loading a file, and all of its mistakes at once."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.minimal_toml import MINIMAL, ONE, paths

from agent.configuration.settings import Log, OutboxSection, Settings, load
from common.standard.opening_hours import OpeningHours
from common.standard.rules import Attestation, Rules
from common.station import StationType
from drivers.terminal.driver import Terminal

# --- a good file


def test_a_short_file_gives_the_defaults_and_one_device_of_each_class(toml):
    loaded = toml(MINIMAL)
    assert loaded.mistakes == ()
    assert loaded.settings.outbox.archive_days == 90
    assert [(kind.name, driver) for kind, driver in loaded.devices] == [("terminal", Terminal(id="main"))]


def test_the_type_follows_from_the_number_unless_the_file_sets_another(toml):
    simple = MINIMAL.replace("0001B", "0001J")
    assert toml(simple).settings.profile is StationType.SIMPLE
    assert toml(simple.replace("[broker]", 'profile = "B"\n[broker]')).settings.profile is StationType.STANDARD


def test_the_ascii_form_of_a_number_is_accepted_too(toml):
    assert toml(MINIMAL.replace("桂", "GX")).settings.terminal.name == "450225-GXBRS0001B-1"


def test_attestations_waivers_and_devices_are_read(toml):
    loaded = toml(
        MINIMAL
        + """
[[attested]]
item = "signboard"
by = "韦某某"
on = 2026-03-02
[[waiver]]
item = "led_screen"
capability = "promotion"
by = "韦某某"
on = "2026-03-03"
[[device]]
class = "terminal"
id = "counter"
hot_c = 90
"""
    )
    assert loaded.mistakes == ()
    assert loaded.settings.attested == (Attestation(item="signboard", by="韦某某", on=date(2026, 3, 2)),)
    assert loaded.settings.waiver[0].on == date(2026, 3, 3)
    assert [driver for _, driver in loaded.devices] == [Terminal(id="counter", hot_c=90)]


def test_a_file_with_a_byte_order_mark_and_crlf_is_read(tmp_path):
    (tmp_path / "agent.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(tmp_path / "agent.toml", classes={}, environ={}).mistakes == ()


# --- mistakes

SIX = """\
[station]
division = 450225
number = "桂BRS001B"
[broker]
host = "127.0.0.1"
port = 99999
tls = false
keepalive = 30
[[device]]
class = "terminal"
id = "main"
hotc = 90
disk_full_mb = "much"
"""


def test_a_broken_file_with_six_mistakes_gets_six_messages(toml):
    loaded = toml(SIX)
    assert [(m.line, m.path, m.value) for m in loaded.mistakes] == [
        (2, "station.division", "450225"),
        (3, "station.number", '"桂BRS001B"'),
        (6, "broker.port", "99999"),
        (8, "broker.keepalive", "30"),
        (12, "device[1].hotc", "90"),
        (13, "device[1].disk_full_mb", '"much"'),
    ]
    assert [m.stops_start for m in loaded.mistakes] == [True] * 4 + [False] * 2
    assert loaded.settings is None


def test_a_message_states_where_what_and_what_would_be_right_in_both_languages(toml):
    texts = {m.path: (m.text("zh"), m.text("en")) for m in toml(SIX).mistakes}
    assert texts["station.division"] == (
        '第 2 行 station.division = 450225：应为六位行政区划代码（加引号），如 "450225"',
        'line 2 station.division = 450225: must be six digits in quotes like "450225"',
    )
    assert texts["broker.port"] == (
        "第 6 行 broker.port = 99999：应为整数，不小于 1，不大于 65535",
        "line 6 broker.port = 99999: must be a whole number, at least 1, at most 65535",
    )
    assert texts["device[1].hotc"] == (
        "第 12 行 device[1].hotc = 90：没有这个选项，是不是 hot_c？",
        "line 12 device[1].hotc = 90: there is no such option; did you mean hot_c?",
    )


def test_a_missing_option_is_reported_with_what_it_should_be(toml):
    loaded = toml("[broker]\ntls = false\n")
    assert paths(loaded) == ["station.division", "station.number", "broker.host"]
    assert loaded.mistakes[1].text("en").startswith("station.number: is missing; it must be a station number like")


def test_any_other_mistake_leaves_its_option_at_the_default_and_stops_nothing(toml):
    loaded = toml(
        MINIMAL
        + """
[outbox]
archive_days = 0
max_mb = 64
[log]
level = "loud"
[opening_hours]
monday = ["8-18", "08:00-12:00", "noon"]
sunday = []
[brokr]
host = "x"
[standard]
min_mbps = "8M"
profiles = { J = ["plate", "plaet"] }
"""
    )
    assert paths(loaded) == [
        "outbox.archive_days",
        "log.level",
        "opening_hours.monday[1]",
        "opening_hours.monday[3]",
        "brokr",
        "standard.min_mbps",
        "standard.profiles.J[2]",
    ]
    assert all(not m.stops_start for m in loaded.mistakes)
    assert loaded.settings.outbox == OutboxSection(max_mb=64)
    assert (loaded.settings.log, loaded.settings.standard) == (Log(), Rules())
    assert loaded.settings.opening_hours == OpeningHours(sunday=())
    assert "did you mean broker?" in loaded.mistakes[4].text("en")
    assert "debug" in loaded.mistakes[1].zh


def test_a_megabyte_is_10_to_the_6_bytes_in_every_option_that_says_mb(toml):
    settings = toml(MINIMAL + "[outbox]\nmax_mb = 64\ntelemetry_max_mb = 8\nflash_budget_mb_day = 20\n").settings
    outbox = settings.outbox
    assert (outbox.max_bytes, outbox.telemetry_max_bytes) == (64_000_000, 8_000_000)
    assert outbox.flash_budget_bytes_day == 20_000_000


def test_fields_that_do_not_go_together_are_a_mistake(toml):
    assert paths(toml(MINIMAL + "will_delay_s = 60\nsession_expiry_s = 30\n")) == ["broker"]
    loaded = toml(MINIMAL + '[opening_hours]\nmonday = ["18:00-08:00"]\n')
    assert loaded.mistakes[0].text("en") == "line 7 opening_hours: 18:00-08:00 ends before it begins"
    assert loaded.settings.opening_hours == OpeningHours()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('device = "x"', ["device"]),
        ("device = [1]", ["device[1]"]),
        ('attested = "x"', ["attested"]),
        ("waiver = [1]", ["waiver[1]"]),
        ("log = 3", ["log"]),
        ("opening_hours = []", ["opening_hours"]),
        ("[[log]]", ["log"]),
    ],
)
def test_a_section_of_the_wrong_kind_is_a_mistake(toml, text, expected):
    text, tail = (text + "\n" + MINIMAL, "") if not text.startswith("[") else (MINIMAL, text)
    loaded = toml(text + tail)
    assert paths(loaded) == expected and loaded.settings is not None


def test_a_bare_waiver_is_a_mistake_and_waives_nothing(toml):
    loaded = toml(MINIMAL + '[[waiver]]\nitem = "video"\ncapability = "video_calls"\n')
    assert paths(loaded) == ["waiver[1].by", "waiver[1].on"]
    assert loaded.settings.waiver == ()


def test_what_cannot_be_attested_or_waived_is_a_mistake(toml):
    loaded = toml(
        MINIMAL
        + """
[[attested]]
item = "printer"
by = "x"
on = 2026-03-02
[[waiver]]
item = "printer"
capability = "promotion"
by = "x"
on = 2026-03-02
"""
    )
    assert paths(loaded) == ["attested[1]", "waiver[1]"]
    assert (loaded.settings.attested, loaded.settings.waiver) == ((), ())


# --- files that cannot be read


def test_a_missing_file_is_reported_with_how_to_get_one(tmp_path):
    (mistake,) = load(tmp_path / "none.toml").mistakes
    assert mistake.stops_start and "config/agent.toml" in mistake.zh and "config/agent.toml" in mistake.en


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[station\n", 1),
        (b'[station]\nname = "abc\n', 2),
        (b"a = 1\na = 2\n", 2),
        (b"[broker]\nx = ", None),
        ("name = '融水'".encode("gbk"), None),
    ],
)
def test_a_file_that_is_not_toml_is_one_mistake_with_its_line(tmp_path, content, line):
    (tmp_path / "agent.toml").write_bytes(content)
    loaded = load(tmp_path / "agent.toml")
    (mistake,) = loaded.mistakes
    assert loaded.settings is None and mistake.stops_start and mistake.line == line


def test_a_file_that_may_not_be_read_is_one_mistake(tmp_path):
    (mistake,) = load(tmp_path).mistakes  # a folder, because root ignores permissions
    assert mistake.stops_start and "cannot be read" in mistake.en


# --- any content

values = st.recursive(
    st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "class", "item", "x"]), inner),
    max_leaves=8,
)
names = st.sampled_from([*Settings.__struct_fields__, "device", "x"])
options = st.sampled_from(
    [
        "division",
        "number",
        "host",
        "port",
        "tls",
        "max_mb",
        "level",
        "monday",
        "holidays",
        "profiles",
        "min_mbps",
        "password",
        "x",
    ]
)


@given(st.dictionaries(names, values | st.dictionaries(options, values, max_size=4), max_size=6))
def test_load_returns_settings_or_mistakes_for_any_content(tables):
    from agent.configuration.settings import _FileReader

    loaded = _FileReader({}, Path("/nonexistent"), ONE, {}).loaded(tables)
    assert (loaded.settings is None) == any(m.stops_start for m in loaded.mistakes)
    for mistake in loaded.mistakes:
        assert mistake.text("zh") and mistake.text("en") and len(mistake.value) <= 60


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_one_mistake(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    assert load(path, classes={}).mistakes


# --- imports


def test_reading_settings_imports_neither_the_command_lines_nor_the_centers_libraries():
    heavy = "{'typer', 'rich', 'biip', 'speedtest', 'sqlalchemy', 'center'}"
    code = f"import sys, agent.configuration.settings; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
