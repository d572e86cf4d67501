"""Captures as EPCIS 2.0 events: valid, claiming no more than the code proves, with the standard's hash as id."""

import json
import os
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.boot_time import BootClocks, scanned_at
from common.codes.control_cards import STEPS
from common.codes.epcis import CHINA, Scanned, event, event_hash, export, is_restricted, pre_hash
from common.codes.platforms import PlatformRule
from common.messages import Capture
from common.station import Terminal

TERMINAL = Terminal.of("450225", "桂BRS0001B")
BEFORE = datetime(2026, 3, 2, 1, 0, 0, 150_000, UTC)
SCHEMA_PLACES = (os.environ.get("EPCIS_SCHEMA", ""), Path(__file__).parents[4] / "shared/data/EPCIS-JSON-Schema.json")


def capture(text: str, symbology: str | None = None, seq: int = 1, **other: Any) -> Capture:
    given: dict[str, Any] = {
        "boot": "b0070001", "at": "2026-03-02T09:00:00.250+08:00", "mono_ms": 1_000_000, "clock": "synced",
        "outbox": "0123456789ab", "seq": seq, "gun": "main", "identity": "usb:1", "number": seq, "source": "serial",
        "text": text, "raw": "", "charset": "utf-8", "charset_because": "ascii", "symbology": symbology,
        "start_mono_ms": 999_000, "end_mono_ms": 999_900,
    }  # fmt: skip
    return Capture(**{**given, **other})


GOODS = {"step": "receiving", "product": "沃柑", "batch": "2026.03/1"}

# the scanned text, its object in the event, and the event's hash by GS1's reference implementation
# (epcis-event-hash-generator 1.9.3, run once by hand: it needs Flask, lxml and PyLD)
KINDS: dict[str, tuple[Capture, dict[str, Any], str]] = {
    "an EAN-13 is a class": (
        capture("6901234567892", "E0"),
        {"quantityList": [{"epcClass": "https://id.gs1.org/01/06901234567892"}]},
        "701bcdcf69ad16844d084fd823055ab3ea0d91737b480eb4e0416588073a4a22",
    ),
    "a GTIN with serial number is an instance": (
        capture("010690123456789221A-1.b/c\x1d10L/1+2", "C1", 2, context=GOODS),
        {"epcList": ["https://id.gs1.org/01/06901234567892/21/A-1.b%2Fc"]},
        "9aa199adcaab19d4eb887bfff037ff2e2952e911e4128729902e204b37b1a3e5",
    ),
    "a GTIN with lot is a class": (
        capture("010690123456789210LOT.1", "C1", 3, context={"step": "shipping"}),
        {"quantityList": [{"epcClass": "https://id.gs1.org/01/06901234567892/10/LOT.1"}]},
        "5d62bad63a6107c9b3659bba4e7fb337cc9a69df0aeccc7e86124da70dc41cff",
    ),
    "an SSCC is an instance": (
        capture("00069012345678900002", "C1", 4, context={"step": "inspecting"}),
        {"epcList": ["https://id.gs1.org/00/069012345678900002"]},
        "01ff18577d2acac2a9aafbd0fef38f5a0b75e2924e0993d58f43580e8ac6c611",
    ),
    "a Digital Link of any host is its GS1 id": (
        capture("https://xx.example.cn/01/06901234567892/10/ab.c/21/xyz", None, 5, context={"step": "retail_selling"}),
        {"epcList": ["https://id.gs1.org/01/06901234567892/21/xyz"]},
        "886e9b7b00f8ed83e0a47a3321116088c18b3b9fb28470441bc2532a4b4748d5",
    ),
    "a GLN": (
        capture("4146901234567892", "C1", 6),
        {"epcList": ["https://id.gs1.org/414/6901234567892"]},
        "91b5a419f7d2c4b758e42bcdb92a59ee0cd799d26ebc68beccf95b6b1ebfc899",
    ),
    "a pesticide's unit code": (
        capture("12022011001123456789012345678901", None, 7),
        {"epcList": ["urn:yinong:pesticide:12022011001123456789012345678901"]},
        "b9e0372af856417e270d723da25294b3376a9f8421ee03a474d030b17083426c",
    ),
    "a veterinary drug's unit code": (
        capture("202601011234512345678901", None, 8),
        {"epcList": ["urn:yinong:vet-drug:202601011234512345678901"]},
        "5384be87e93c6c6f0dea8e31c3b579efaff5e81f1ce224f2f8fe52f8134a8906",
    ),
    "a seed label's unit code": (
        capture("桂单0810\n广西某种业\n450225001A0000001\nhttp://seed.example.cn/q", None, 9),
        {"epcList": ["urn:yinong:seed:450225001A0000001"]},
        "9ceabfd40f291e66d5972e02a3e9921560aed2b5588786d413b25091754fd2b1",
    ),
    "a shop's own number means nothing elsewhere": (
        capture("2012345678903", "E0", 10),
        {"quantityList": [{"epcClass": "urn:yinong:shop:450225:GXBRS0001B:2012345678903"}]},
        "a2ef5fe366b670e1fa1cc62f41f153221f00c2142ad444ba7aecac0deaa805d2",
    ),
    "a wrong check digit is no GTIN": (
        capture("6901234567893", "E0", 11),
        {"quantityList": [{"epcClass": "urn:yinong:code:6901234567893"}]},
        "b9ff2647badf54f3b8d12663622237d3c5ee21e219145c8f799a49c1411cca6e",
    ),
    "Chinese text": (
        capture("沃柑.一号", None, 12),
        {"quantityList": [{"epcClass": "urn:yinong:code:%E6%B2%83%E6%9F%91.%E4%B8%80%E5%8F%B7"}]},
        "206ce7890b6434e97e5b68669437fa6ddb80ed920e726e73b569a4d6a93a73d3",
    ),
    "an address of a platform": (
        capture("https://t.example.cn/q?code=123.5", None, 13),
        {"quantityList": [{"epcClass": "urn:yinong:code:https%3A%2F%2Ft.example.cn%2Fq%3Fcode%3D123.5"}]},
        "420f520d696e94d3d4f3a05b6cf10b52e61c172da6c2479ceeccbce82980c0c5",
    ),
    "a number that is none": (
        capture("1e5", None, 14),
        {"quantityList": [{"epcClass": "urn:yinong:code:1e5"}]},
        "90b6c374b564fc9129c6e43136d5eb7d5d3e322979340c2a71b46dfb90181233",
    ),
}  # fmt: skip


def exported(*captures: Capture) -> dict[str, Any]:
    return export([Scanned(one, BEFORE) for one in captures], TERMINAL, BEFORE).document


def events(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["epcisBody"]["eventList"]


# --- what a capture becomes ---


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_code_becomes_what_it_is_and_no_more(kind: str):
    scanned, what, _ = KINDS[kind]
    made = event(scanned, BEFORE, TERMINAL)
    assert {name: made[name] for name in ("epcList", "quantityList") if name in made} == what


def test_an_event_states_when_where_and_which_step():
    made = event(KINDS["a GTIN with serial number is an instance"][0], BEFORE, TERMINAL)
    del made["eventID"], made["epcList"]
    assert made == {
        "type": "ObjectEvent",
        "eventTime": "2026-03-02T09:00:00.150+08:00",
        "eventTimeZoneOffset": "+08:00",
        "action": "OBSERVE",
        "bizStep": "receiving",
        "readPoint": {"id": "urn:yinong:gun:450225-GXBRS0001B-1:main"},
        "bizLocation": {"id": "urn:yinong:station:450225:GXBRS0001B"},
        "yinong:capture": "urn:yinong:capture:450225-GXBRS0001B-1:0123456789ab:2",
        "yinong:product": "urn:yinong:product:%E6%B2%83%E6%9F%91",
        "yinong:batch": "urn:yinong:batch:2026.03%2F1",
    }


def test_damaged_voided_and_untimed_captures_are_left_out_and_counted():
    good = capture("6901234567892")
    damaged = capture("", seq=2, damage="events_dropped", seen="69012", flags=("damaged",))
    result = export(
        [
            Scanned(good, BEFORE),
            Scanned(damaged, BEFORE),
            Scanned(capture("A", seq=3), BEFORE, voided=True),
            Scanned(capture("B", seq=4), None),
        ],
        TERMINAL,
        BEFORE,
    )
    assert result[1:] == (1, 1, 1, 1)
    assert [one["yinong:capture"][-2:] for one in events(result.document)] == [":1"]


def test_a_step_that_the_standard_does_not_have_is_left_out():
    assert "bizStep" not in event(capture("A", context={"step": "dreaming"}), BEFORE, TERMINAL)


@pytest.mark.parametrize(
    ("gtin", "restricted"),
    [
        ("06901234567892", False), ("00012345678905", False), ("00212345678909", True), ("00412345678906", True),
        ("02012345678900", True), ("12012345678907", True), ("09771234567898", False), ("09812345678901", True),
        ("09912345678900", True), ("00000020123451", True), ("00000069012341", False), ("00000002345675", True),
    ],
)  # fmt: skip
def test_numbers_of_a_shop_and_coupons_are_not_gs1_ids(gtin: str, restricted: bool):
    assert is_restricted(gtin) == restricted


# --- when it was scanned ---


def test_the_time_of_a_scan_is_that_of_its_last_key_not_of_its_commit():
    assert scanned_at(capture("A"), BootClocks()) == BEFORE


def test_an_unsynced_clock_is_corrected_by_the_synchronisation_in_the_same_boot():
    early = capture("A", at="1970-01-01T08:00:10.000+08:00", clock="unsynced")
    known = BootClocks()
    known.learn("b0070002", 1_009_900, "2026-03-02T09:00:10.000+08:00", "synced")
    assert scanned_at(early, known) is None
    known.learn("b0070001", 1_009_900, "2026-03-02T09:00:10.000+08:00", "synced")
    assert scanned_at(early, known) == datetime(2026, 3, 2, 9, 0, tzinfo=CHINA)


# --- the hash ---


@pytest.mark.parametrize("kind", KINDS)
def test_the_hash_is_the_one_of_the_reference_implementation(kind: str):
    scanned, _, hashed = KINDS[kind]
    assert event(scanned, BEFORE, TERMINAL)["eventID"] == f"ni:///sha-256;{hashed}?ver=CBV2.0"


def test_the_hash_changes_neither_with_the_record_time_nor_with_the_zone_of_the_written_time():
    made = event(capture("6901234567892"), BEFORE, TERMINAL)
    again = {**made, "recordTime": "2026-03-05T00:00:00Z", "eventTime": "2026-03-02T01:00:00.150Z"}
    assert event_hash(again) == made["eventID"]
    tokyo = event(capture("6901234567892"), BEFORE.astimezone(timezone(timedelta(hours=9))), TERMINAL)
    assert tokyo == made


def test_the_hash_changes_with_everything_that_the_event_states():
    base = capture("6901234567892", context={"step": "receiving", "product": "a", "batch": "b"})
    steps = {"step": "shipping", "product": "z", "batch": "z"}
    other = [
        capture("6901234567892"), capture("6901234567892", seq=2, context=base.context),
        *(capture("6901234567892", context=base.context | {name: value}) for name, value in steps.items()),
        capture("6901234567892", gun="other", context=base.context), capture("123", context=base.context),
    ]  # fmt: skip
    hashes = {event(one, BEFORE, TERMINAL)["eventID"] for one in (base, *other)}
    hashes.add(event(base, BEFORE + timedelta(milliseconds=1), TERMINAL)["eventID"])
    assert len(hashes) == len(other) + 2


def test_the_canonical_string_is_that_of_the_standard():
    made = event(KINDS["a GTIN with lot is a class"][0], BEFORE, TERMINAL)
    assert pre_hash(made) == (
        "eventType=ObjectEventeventTime=2026-03-02T01:00:00.150ZeventTimeZoneOffset=+08:00"
        "quantityListquantityElementepcClass=https://id.gs1.org/01/06901234567892/10/LOT.1action=OBSERVE"
        "bizStep=https://ref.gs1.org/cbv/BizStep-shippingreadPointid=urn:yinong:gun:450225-GXBRS0001B-1:main"
        "bizLocationid=urn:yinong:station:450225:GXBRS0001B"
        "{urn:yinong:epcis:}capture=urn:yinong:capture:450225-GXBRS0001B-1:0123456789ab:3"
    )


# --- valid ---

any_capture = st.builds(
    capture,
    st.text(min_size=1),
    st.sampled_from([None, "C1", "E0", "Q1", "Q3", "d2"]),
    st.integers(1, 10**9),
    context=st.dictionaries(st.sampled_from(["product", "batch"]), st.text(min_size=1))
    | st.sampled_from([*STEPS]).map(lambda step: {"step": step}),
    gun=st.text(min_size=1, max_size=10),
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_each_kind_keeps_our_own_reduced_rules(kind: str):
    keeps_our_rules(exported(KINDS[kind][0]))


@given(any_capture)
def test_an_event_of_any_text_keeps_our_own_reduced_rules(scanned: Capture):
    keeps_our_rules(exported(scanned))


@given(any_capture)
def test_an_event_of_any_text_is_valid_by_the_official_schema(scanned: Capture):
    official().validate(exported(scanned))


def test_a_code_of_a_platform_is_valid_as_a_class_and_as_one_package():
    scanned = Scanned(capture("https://t.example.org/沃柑/4502"), BEFORE)
    rules = [
        PlatformRule(name="示例 平台", like="https://t.example.org/{product}/{code}", per_package=p)
        for p in (False, True)
    ]
    documents = [export([scanned], TERMINAL, BEFORE, [rule]).document for rule in rules]
    for document in documents:
        keeps_our_rules(document)
        official().validate(document)
    assert [list(events(document)[0])[4] for document in documents] == ["quantityList", "epcList"]


def test_a_document_of_every_kind_is_valid_by_the_official_schema():
    document = exported(*(scanned for scanned, _, _ in KINDS.values()))
    assert len(events(document)) == len(KINDS)
    official().validate(document)
    official().validate(exported())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("readPoint", {"id": "桂BRS0001B"}), ("bizStep", "scanned"), ("eventTimeZoneOffset", "08:00"),
        ("eventTime", "2026-03-02 09:00"), ("epcList", ["not a uri"]), ("action", "SEE"), ("product", "沃柑"),
    ],
)  # fmt: skip
def test_the_official_schema_with_format_checks_finds_what_is_wrong(name: str, wrong: Any):
    document = exported(capture("6901234567892"))
    events(document)[0][name] = wrong
    assert not official().is_valid(document)


def official() -> jsonschema.protocols.Validator:
    """The official schema's validator with format checks: its licence keeps the schema out of this repository."""
    for place in SCHEMA_PLACES:
        if place and Path(place).is_file():
            schema = json.loads(Path(place).read_text("utf-8"))
            kind = jsonschema.validators.validator_for(schema)
            assert {"uri", "date-time"} <= set(kind.FORMAT_CHECKER.checkers)  # the extra is installed
            return kind(schema, format_checker=kind.FORMAT_CHECKER)
    pytest.skip(
        "NOT validated against the official EPCIS 2.0 schema, only against our own reduced rules: "
        "set EPCIS_SCHEMA to GS1's EPCIS-JSON-Schema.json"
    )


URI = re.compile(r"(?:https://id\.gs1\.org/[0-9]{2,4}/|urn:yinong:[a-z-]+:|ni:///sha-256;)[A-Za-z0-9._~%:/?=;-]+")
CLASS = re.compile(r"https://id\.gs1\.org/01/[0-9]{14}(/10/[^/]+)?|urn:yinong:(code|shop|platform):.+")
INSTANCE = re.compile(
    r"https://id\.gs1\.org/(01/[0-9]{14}/21/[^/]+|00/[0-9]{18}|414/[0-9]{13})|urn:yinong:(pesticide|vet-drug|seed|platform):.+"
)


def keeps_our_rules(document: dict[str, Any]) -> None:
    """Our requirements of a document: the rules of the official schema that concern it, and one that it lacks: a class is
    never in `epcList`."""
    assert set(document) == {"@context", "type", "schemaVersion", "creationDate", "epcisBody"}
    for one in events(document):
        assert datetime.fromisoformat(one["eventTime"]).utcoffset() == timedelta(hours=8)
        assert one["eventTimeZoneOffset"] == "+08:00"
        uris = [one["eventID"], one["readPoint"]["id"], one["bizLocation"]["id"], *one.get("epcList", ())]
        uris += [element["epcClass"] for element in one.get("quantityList", ())]
        uris += [value for name, value in one.items() if ":" in name]
        assert all(URI.fullmatch(uri) for uri in uris), uris
        assert ("epcList" in one) != ("quantityList" in one)
        assert all(INSTANCE.fullmatch(epc) for epc in one.get("epcList", ()))
        assert all(CLASS.fullmatch(element["epcClass"]) for element in one.get("quantityList", ()))
        assert one.get("bizStep") in (None, *STEPS)
        assert set(one) - {"epcList", "quantityList", "bizStep", "yinong:product", "yinong:batch"} == {
            "eventID",
            "type",
            "eventTime",
            "eventTimeZoneOffset",
            "action",
            "readPoint",
            "bizLocation",
            "yinong:capture",
        }
