"""The contract's documents: they follow from the structs, and they tell good messages from wrong ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from agent import asyncapi
from agent.configuration.settings import Broker
from common.messages import (
    TOPICS,
    Capture,
    Command,
    Device,
    Heartbeat,
    Item,
    Journal,
    Receipt,
    Reply,
    Scan,
    Standard,
    State,
    Telemetry,
)
from drivers.reading import Condition, Evidence

STAMP: dict[str, Any] = {
    "boot": "b0070001", "at": "2026-03-02T09:00:00.000+08:00", "mono_ms": 1_000_000, "clock": "synced"
}  # fmt: skip
PLACE: dict[str, Any] = {**STAMP, "outbox": "0123456789ab", "seq": 7}
CAPTURE = Capture(
    **PLACE, gun="counter", identity="usb:0c2e:0b61:S1", number=3, source="serial", text="6901234567892\x1d桂",
    raw="36393031", charset="utf-8", charset_because="ascii", symbology="E0", start_mono_ms=1, end_mono_ms=2,
    flags=("repeated",),
)  # fmt: skip

GOOD: dict[type[msgspec.Struct], msgspec.Struct] = {
    State: State(
        **STAMP, state="online", connection=1, run="r1", outbox="0123456789ab", fingerprint="f1", version="0.1.0",
        division="450225", number="桂BRS0001B", terminal="1",
    ),
    Heartbeat: Heartbeat(
        **STAMP, run="r1", connection=1, uptime_s=60, waiting=0, oldest_waiting_s=None, verdicts={"met": 4},
        outbox="0123456789ab",
    ),
    Device: Device(
        **PLACE, device_class="printer", id="main", condition=Condition.FAULTY, reason="paper_out", params={"tray": 1},
        measures={"toner_percent": 12.5, "model": None, "duplex": True}, evidence=(Evidence("ipp", raw={"a": [1]}),),
        previous=Condition.WORKING,
    ),
    Standard: Standard(**PLACE, profile="B", items=(Item(item="printer", verdict="met", because="ok"),)),
    Journal: Journal(**PLACE, event="start", details={"after": "power cut", "lost_s": 3}),
    Scan: Scan(**STAMP, outbox="0123456789ab", captures=(CAPTURE,)),
    Telemetry: Telemetry(**STAMP, measures={"terminal.main.memory_mb": 512, "broadband.line.rtt_ms": 8.5}),
    Reply: Reply(**STAMP, id="12345678", command="check", ok=True, answer={"devices": []}),
    Command: Command(id="0f0e-1234-abcd", options={"device": "printer"}),
    Receipt: Receipt(at=STAMP["at"], store="s1", outbox="0123456789ab", upto=7),
}  # fmt: skip


def checker(name: str) -> jsonschema.Draft202012Validator:
    """The validator of one message, from the committed file, with format checks."""
    schema = json.loads((asyncapi.CONFIG / asyncapi.SCHEMA_FILE).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "date-time" in jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers  # the extra is installed
    return jsonschema.Draft202012Validator(
        {**schema, "$ref": f"#/$defs/{name}"}, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def on_the_wire(message: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(message))


def document() -> dict[str, Any]:
    return yaml.safe_load((asyncapi.CONFIG / asyncapi.ASYNCAPI_FILE).read_text("utf-8"))


# --- the files ---


@pytest.mark.parametrize("name", [asyncapi.ASYNCAPI_FILE, asyncapi.SCHEMA_FILE])
def test_the_committed_contract_is_the_one_that_follows_from_the_structs(name: str):
    committed = (asyncapi.CONFIG / name).read_text("utf-8")
    assert committed == asyncapi.rendered()[name], "run: python -m agent.asyncapi"


def test_the_contract_is_the_same_each_time_it_is_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asyncapi, "CONFIG", tmp_path)
    asyncapi.main()
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    asyncapi.main()
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_the_yaml_says_what_the_generator_said():
    assert document() == json.loads(json.dumps(asyncapi.asyncapi()))


# --- messages ---


def test_there_is_a_good_message_of_every_topic():
    assert {line.type for line in TOPICS} == set(GOOD)


@pytest.mark.parametrize("type_", GOOD)
def test_a_good_message_is_valid_and_comes_back_as_it_was(type_: type[msgspec.Struct]):
    encoded = msgspec.json.encode(GOOD[type_])
    checker(type_.__name__).validate(json.loads(encoded))
    assert msgspec.json.decode(encoded, type=type_) == GOOD[type_]


@pytest.mark.parametrize("type_", GOOD)
def test_a_message_without_a_required_field_is_invalid_to_schema_and_decoder_alike(type_: type[msgspec.Struct]):
    wire, check = on_the_wire(GOOD[type_]), checker(type_.__name__)
    required = [field.encode_name for field in msgspec.structs.fields(type_) if field.required]
    assert required
    for name in required:
        lacking = {key: value for key, value in wire.items() if key != name}
        assert not check.is_valid(lacking), name
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps(lacking), type=type_)


@pytest.mark.parametrize(
    ("type_", "wrong"),
    [
        (Device, {"boot": "B0070001"}),
        (Device, {"boot": "b007000"}),
        (Device, {"seq": 0}),
        (Device, {"mono_ms": -1}),
        (Device, {"outbox": "xyz"}),
        (Device, {"clock": "perhaps"}),
        (Device, {"condition": "present"}),
        (Device, {"at": "2026-03-02 09:00:00"}),
        (Device, {"at": "2026-03-02T09:00:00.000Z"}),
        (Device, {"measures": {"list": []}}),
        (Device, {"evidence": [{"source": "no method"}]}),
        (State, {"state": "offline"}),
        (State, {"simulated": "yes"}),
        (Heartbeat, {"waiting": -1}),
        (Standard, {"items": [{"item": "printer", "verdict": "good", "because": "x"}]}),
        (Scan, {"captures": [on_the_wire(CAPTURE) | {"seq": 0}]}),
        (Telemetry, {"measures": {"a": "b"}}),
        (Command, {"id": "short"}),
        (Command, {"id": "12345678; rm"}),
        (Command, {"shell": "ls"}),
        (Receipt, {"upto": -1}),
        (Receipt, {"store": ""}),
    ],
)
def test_a_wrong_message_is_invalid_to_schema_and_decoder_alike(type_: type[msgspec.Struct], wrong: dict[str, Any]):
    message = on_the_wire(GOOD[type_]) | wrong
    assert not checker(type_.__name__).is_valid(message)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(message), type=type_)


def test_a_time_that_does_not_exist_is_invalid():
    assert not checker("Receipt").is_valid(on_the_wire(GOOD[Receipt]) | {"at": "2026-02-30T25:00:00.000+08:00"})


# --- AsyncAPI 3.0 ---


def test_the_document_has_what_asyncapi_3_demands():
    found = document()
    assert found["asyncapi"] == "3.0.0"
    assert found["info"].keys() >= {"title", "version"}
    for server in found["servers"].values():
        assert server.keys() >= {"host", "protocol"}
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"].keys() == {"$ref"}


def test_every_reference_of_the_document_leads_somewhere():
    found = document()
    references = set(_references(found))
    assert references
    for reference in references:
        place: Any = found
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_an_address_names_exactly_its_parameters():
    for channel in document()["channels"].values():
        named = [part[1:-1] for part in channel["address"].split("/") if part.startswith("{")]
        assert len(named) == len(set(named))
        assert set(named) == set(channel["parameters"])


def test_every_topic_has_its_channel_and_one_operation_with_its_quality_of_service():
    found = document()
    assert len(found["channels"]) == len(found["operations"]) == len(TOPICS)
    for line in TOPICS:
        name = line.type.__name__
        action = "send" if line.by == "terminal" else "receive"
        operation = found["operations"][f"{action}{name}"]
        mqtt = operation["bindings"]["mqtt"]
        channel = operation["channel"]["$ref"].rpartition("/")[2]
        assert found["channels"][channel]["address"] == "yinong/1/{name}/" + line.leaf.replace("{name}", "{command}")
        assert (mqtt["qos"], mqtt["retain"]) == (line.qos, line.retained)
        assert found["components"]["messages"][name]["x-receipted"] is line.receipted


def test_user_properties_are_headers_late_only_of_what_has_a_backlog():
    messages = document()["components"]["messages"]
    headers = {name: set(message.get("headers", {}).get("properties", {})) for name, message in messages.items()}
    assert headers["Device"] == {"late", "simulated"}
    assert headers["Heartbeat"] == {"simulated"}
    assert headers["Receipt"] == set()
    assert headers["Command"] == {"correlation_data", "response_topic"}


def test_a_command_is_answered_on_the_terminals_own_reply_topic():
    found = document()
    command = found["operations"]["receiveCommand"]
    assert command["reply"]["channel"] == {"$ref": "#/channels/reply"}
    assert command["bindings"]["mqtt"]["messageExpiryInterval"]["maximum"] == 60
    for name in ("Command", "Reply"):
        assert found["components"]["messages"][name]["correlationId"] == {"$ref": "#/components/correlationIds/command"}


def test_a_terminal_connects_as_the_configuration_has_it_by_default():
    mqtt = document()["components"]["serverBindings"]["terminal"]["mqtt"]
    broker = Broker(host="localhost")
    assert mqtt["lastWill"]["topic"] == "yinong/1/{name}/state" and mqtt["lastWill"]["retain"] is True
    assert (mqtt["keepAlive"], mqtt["sessionExpiryInterval"]) == (broker.keepalive_s, broker.session_expiry_s)
    assert mqtt["cleanSession"] is False
    assert document()["servers"]["county"]["host"] == f"{{host}}:{broker.port}"


def _references(place: Any) -> Iterator[str]:
    if isinstance(place, dict):
        for key, value in place.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(place, list):
        for value in place:
            yield from _references(value)
