"""The MQTT contract as documents: AsyncAPI 3.0 and JSON Schema, generated from the structs of `common.messages`.

    python -m agent.asyncapi        # rewrites config/asyncapi.yaml and config/messages.schema.json

AsyncAPI describes the application on the terminal: what it sends and what it receives. MQTT bindings have version 0.2.0; user
properties are headers. Nothing here is needed at a station; PyYAML is a development dependency.
"""

import json
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from agent.configuration.settings import Broker
from common.messages import LATE, LONGEST_EXPIRY_S, ROOT, SIMULATED, TOPICS, VERSION, Topic
from drivers.table import CLASSES

Document: TypeAlias = dict[str, Any]

CONFIG = Path(__file__).parent.parent / "config"
ASYNCAPI_FILE = "asyncapi.yaml"
SCHEMA_FILE = "messages.schema.json"
BINDING = "0.2.0"
BRANCH = f"{ROOT}/{{name}}"
_HEAD = "# Generated from common/messages.py by `python -m agent.asyncapi`: change it there.\n"
_YAML_WIDTH = 120
_ABOUT = """\
What the terminal of a village service station (益农信息社) sends to its county, and what it takes from there.
MQTT 5 only; JSON in UTF-8; one schema a topic.

A receipted message (`x-receipted`) stays at the terminal until the recorder's receipt covers its (outbox, seq): a PUBACK
says only that the broker took it. Receivers keep the highest seq of an outbox as the present, never the latest to arrive,
and take the same (station, outbox, seq) once. What comes from the backlog carries the user property `late` and never the
retain flag. A simulated station marks everything it sends with the user property `simulated`.
"""


def json_schema() -> Document:
    """JSON Schema (2020-12) of every message under `$defs`; `x-topics` states which topic carries which."""
    _, definitions = msgspec.json.schema_components([line.type for line in TOPICS], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:yinong:messages:{VERSION}",
        "title": f"MQTT messages of yinong-agent, version {VERSION}",
        "$comment": "Generated from common/messages.py by `python -m agent.asyncapi`: change it there.",
        "x-topics": {f"{BRANCH}/{line.leaf}": {"$ref": f"#/$defs/{line.type.__name__}"} for line in TOPICS},
        "$defs": definitions,
    }


def asyncapi() -> Document:
    """The AsyncAPI 3.0 document."""
    _, schemas = msgspec.json.schema_components(
        [line.type for line in TOPICS], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {_id(line): _channel(line) for line in TOPICS},
        "operations": {name: operation for line in TOPICS for name, operation in _operations(line).items()},
        "components": {
            "messages": {line.type.__name__: _message(line) for line in TOPICS},
            "schemas": schemas,
            "parameters": _parameters(),
            "correlationIds": {
                "command": {
                    "description": "MQTT 5 Correlation Data: any bytes; the reply carries the same",
                    "location": "$message.header#/correlation_data",
                }
            },
            "serverBindings": {"terminal": {"mqtt": _client()}},
            "securitySchemes": {
                "password": {"type": "userPassword", "description": "the user name is the terminal's name"},
                "certificate": {"type": "X509", "description": "the common name is the terminal's name"},
            },
        },
    }


def rendered() -> dict[str, str]:
    """File name below `config/` -> its text; the same from the same structs, byte for byte."""
    import yaml  # pyright: ignore[reportMissingModuleSource]

    class Plain(yaml.SafeDumper):
        """Writes equal parts out each time, because aliases are hard to read."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            return True

    Plain.add_representer(str, _text)
    document = yaml.dump(asyncapi(), Dumper=Plain, sort_keys=False, allow_unicode=True, width=_YAML_WIDTH)
    schema = json.dumps(json_schema(), ensure_ascii=False, indent=2)
    return {ASYNCAPI_FILE: _HEAD + document, SCHEMA_FILE: schema + "\n"}


def _text(dumper: Any, text: str) -> Any:
    """Represent a text of several lines as a block."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _info() -> Document:
    return {
        "title": "yinong-agent",
        "version": f"{VERSION}.0.0",
        "license": {"name": "Apache-2.0"},
        "description": _ABOUT,
    }


def _client() -> Document:
    """How a terminal connects; the figures are the defaults of agent.toml."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(Broker)}
    return {
        "clientId": "{name}.{fingerprint}",
        "cleanSession": False,
        "lastWill": {
            "topic": f"{BRANCH}/state",
            "qos": 1,
            "retain": True,
            "message": f"a State with state = lost; will delay {defaults['will_delay_s']} s",
        },
        "keepAlive": defaults["keepalive_s"],
        "sessionExpiryInterval": defaults["session_expiry_s"],
        "bindingVersion": BINDING,
    }


def _servers() -> Document:
    bindings = {"$ref": "#/components/serverBindings/terminal"}
    county = {
        "host": "{host}:8883",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "description": "The county's broker: TLS with the county's own authority, every terminal known by name",
        "variables": {"host": {"description": "of the county", "default": "localhost"}},
        "security": [
            {"$ref": "#/components/securitySchemes/password"},
            {"$ref": "#/components/securitySchemes/certificate"},
        ],
        "bindings": bindings,
    }
    loopback = {
        "host": "127.0.0.1:1883",
        "protocol": "mqtt",
        "protocolVersion": "5",
        "description": "This machine's own broker, for development and the county's own programs",
        "bindings": bindings,
    }
    return {"county": county, "loopback": loopback}


def _leaf(line: Topic) -> str:
    """The leaf with parameter names of its own: `{name}` of a command is not that of the terminal."""
    return line.leaf.replace("{name}", "{command}")


def _id(line: Topic) -> str:
    return line.leaf.split("/")[0]


def _channel(line: Topic) -> Document:
    parts = ["name", *(part[1:-1] for part in _leaf(line).split("/") if part.startswith("{"))]
    name = line.type.__name__
    return {
        "address": f"{BRANCH}/{_leaf(line)}",
        "description": _doc(line),
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {part: {"$ref": f"#/components/parameters/{part}"} for part in parts},
    }


def _parameters() -> Document:
    return {
        "name": {
            "description": "the terminal: division code, station number in ASCII, terminal id; also its MQTT user name",
            "examples": ["450225-GXBRS0001B-1"],
        },
        "class": {"description": "device class", "enum": sorted(CLASSES)},
        "id": {"description": "id of the device's table in agent.toml", "examples": ["main"]},
        "command": {"description": "name of the command; the terminal answers an unknown one with its list"},
    }


def _operations(line: Topic) -> dict[str, Document]:
    """What the terminal does on the channel; a command with its reply."""
    name, channel = line.type.__name__, {"$ref": f"#/channels/{_id(line)}"}
    sends = line.by == "terminal"
    mqtt: Document = {"qos": line.qos, "retain": line.retained}
    operation: Document = {
        "action": "send" if sends else "receive",
        "channel": channel,
        "summary": f"{'to' if sends else 'from'} the {'county' if sends else line.by}",
        "messages": [{"$ref": f"#/channels/{_id(line)}/messages/{name}"}],
    }
    if name == "Command":
        mqtt["messageExpiryInterval"] = {"type": "integer", "minimum": 1, "maximum": LONGEST_EXPIRY_S}
        operation["description"] = (
            "Taken only over authenticated TLS or loopback, never retained, with correlation data and the terminal's own "
            "reply topic as response topic. An id is done once."
        )
        operation["reply"] = {
            "channel": {"$ref": "#/channels/reply"},
            "messages": [{"$ref": "#/channels/reply/messages/Reply"}],
        }
    operation["bindings"] = {"mqtt": {**mqtt, "bindingVersion": BINDING}}
    return {f"{operation['action']}{name}": operation}


def _message(line: Topic) -> Document:
    name = line.type.__name__
    mqtt: Document = {"bindingVersion": BINDING}
    message: Document = {
        "name": name,
        "title": name,
        "summary": _doc(line),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "x-receipted": line.receipted,
    }
    if headers := _headers(line):
        message["headers"] = headers
    if name in ("Command", "Reply"):
        message["correlationId"] = {"$ref": "#/components/correlationIds/command"}
        mqtt["correlationData"] = {"type": "string", "minLength": 1}
    if name == "Command":
        mqtt["responseTopic"] = f"{BRANCH}/reply"
    return {**message, "bindings": {"mqtt": mqtt}}


def _headers(line: Topic) -> Document:
    """MQTT user properties, and for commands and replies the properties that the runtime expressions refer to."""
    properties: Document = {}
    required: list[str] = []
    if line.receipted:
        properties[LATE[0]] = {"const": LATE[1], "description": "user property: sent from the backlog, not retained"}
    if line.by == "terminal":
        properties[SIMULATED[0]] = {"const": SIMULATED[1], "description": "user property: of a simulated station"}
    if line.type.__name__ in ("Command", "Reply"):
        properties["correlation_data"] = {"type": "string", "description": "MQTT 5 Correlation Data"}
        required.append("correlation_data")
    if line.type.__name__ == "Command":
        properties["response_topic"] = {"type": "string", "description": "MQTT 5 Response Topic"}
        required.append("response_topic")
    if not properties:
        return {}
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _doc(line: Topic) -> str:
    return " ".join((line.type.__doc__ or "").split())


def main() -> None:
    """Rewrite the files."""
    for name, text in rendered().items():
        (CONFIG / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
