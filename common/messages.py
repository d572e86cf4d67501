"""The MQTT contract: topics and message types, defined once.

JSON Schema and `config/asyncapi.yaml` are generated from these structs (`agent.asyncapi`). JSON, UTF-8, one schema a topic.
The body of a receipted row is fixed at its commit and never changes (the recorder keeps its digest); what belongs to a
delivery and not to the row (`late`) is an MQTT user property.
"""

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from common.clock import ClockQuality
from drivers.reading import Condition, Evidence, Scalar

VERSION = 1
ROOT = "yinong/1"
LATE = ("late", "1")  # MQTT user property of what is sent from the backlog
LONGEST_EXPIRY_S = 60  # message expiry of a command, at most
SIMULATED = ("simulated", "1")  # MQTT user property of everything a simulated station sends

Boot: TypeAlias = Annotated[
    str, Meta(pattern="^[0-9a-f]{8}$", description="first 8 hex digits of the kernel's boot id")
]
At: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$",
        description="RFC 3339 with offset; trust it as far as `clock` says",
        extra_json_schema={"format": "date-time"},
    ),
]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Seq: TypeAlias = Annotated[int, Meta(ge=1, description="position in the outbox, without gaps")]
ExportKey: TypeAlias = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", description="Ed25519 public key of the terminal's parcels, in hex")
]
ParcelDigest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="a parcel's SHA-256, in hex")]
OutboxId: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{12}$", description="id of the outbox file")]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every message has."""

    v: int = VERSION
    boot: Boot
    at: At
    mono_ms: Count
    clock: ClockQuality


class Receipted(Message, frozen=True, kw_only=True):
    """A message that the recorder receipts by (outbox, seq)."""

    outbox: OutboxId
    seq: Seq


class State(Message, frozen=True, kw_only=True):
    """Birth (`online`, on every connect), clean stop (`closing`) and will (`lost`). The will's times are those of its connect."""

    state: Literal["online", "closing", "lost"]
    connection: Count  # number of this connection in this run of the daemon
    run: str  # id of this run of the daemon
    outbox: OutboxId
    fingerprint: str  # short hash of the hardware's permanent identities
    version: str  # of yinong-agent
    division: str
    number: str  # 桂BRS0001B
    terminal: str
    simulated: bool = False
    export_key: ExportKey | None = None  # public key of the signatures of parcels; None: not created yet


class Heartbeat(Message, frozen=True, kw_only=True):
    """Every 60 s: alive, what waits in the outbox, and how many items stand with which verdict."""

    run: str
    connection: Count
    uptime_s: Count  # of the daemon
    waiting: Count  # receipted rows that the county has not receipted
    oldest_waiting_s: Count | None  # age of the oldest; None if nothing waits
    verdicts: dict[str, Count]  # verdict -> number of items
    last_seq: Count = 0  # newest row of the outbox
    outbox: OutboxId


class Device(Receipted, frozen=True, kw_only=True):
    """A reading as believed (after hysteresis), on change and once a day; retained."""

    device_class: str = msgspec.field(name="class")
    id: str
    condition: Condition
    reason: str
    params: dict[str, str | int | float]
    measures: dict[str, Scalar]
    evidence: tuple[Evidence, ...]
    previous: Condition | None = None  # the previous confirmed condition; None for the first
    flaps: Count = 0  # changes of condition in the last hour that were not confirmed


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the standard (annex 2)."""

    item: str
    verdict: Literal["met", "not_met", "waived", "attested", "not_required", "unproven"]
    because: str  # code of the reason; a sentence in Chinese and English belongs to it
    params: dict[str, str | int | float] = {}


class Standard(Receipted, frozen=True, kw_only=True):
    """The items with their verdicts, on change and once a day; retained."""

    profile: str  # B, Z, J
    items: tuple[Item, ...]


class Journal(Receipted, frozen=True, kw_only=True):
    """What happened to the terminal: starts, stops, cuts, link losses, clock corrections, damaged scans, voids."""

    event: str
    details: dict[str, Any] = {}


class Capture(Receipted, frozen=True, kw_only=True):
    """One scan, as committed: `start`/`end` are mono_ms of its first and last byte or key."""

    gun: str  # id of the gun's table
    identity: str  # stable identity of the gun that read it
    number: Seq  # number of this capture of this gun
    source: str  # evdev, serial, hidpos, camera, cli
    text: str
    raw: str  # hex of the bytes, or the compact key log of a keyboard gun
    charset: str
    charset_because: str
    symbology: str | None  # AIM identifier without its bracket, if the gun sends one
    start_mono_ms: Count
    end_mono_ms: Count
    flags: tuple[str, ...] = ()
    seen: str = ""  # of a damaged scan: what could be decoded; `text` is then empty
    damage: str | None = None  # why it is damaged
    context: dict[str, str] = {}  # set by control cards: step (CBV business step), product, batch


class Scan(Message, frozen=True, kw_only=True):
    """Captures, batched when draining; stamped when sent, each capture with its own time and seq."""

    outbox: OutboxId
    # each is exactly the committed bytes (msgspec.Raw): the recorder keeps their digest
    captures: tuple[Capture, ...]


class Telemetry(Message, frozen=True, kw_only=True):
    """Terminal and line measures, every 5 minutes: `<class>.<id>.<measure>` -> number."""

    measures: Annotated[
        dict[str, int | float],
        Meta(
            description="of devices as their drivers name them; of the daemon itself `agent.self.`: `rss_bytes`, `threads`, "
            "`descriptors`, `outbox_file_bytes`, `outbox_waiting` (rows), and `flash_bytes_day` (written to flash so far in "
            "this day of 24 h running time; missing where the kernel keeps no account)"
        ),
    ]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command of the console: only names on the list, no free text that runs."""

    v: int = VERSION
    id: Annotated[str, Meta(min_length=8, max_length=64, pattern="^[0-9A-Za-z-]+$")]
    options: dict[str, str | int | float | bool] = {}


class Reply(Message, frozen=True, kw_only=True):
    """The answer to a command, on the own `reply` topic, with the command's correlation data."""

    id: str
    command: str
    ok: bool
    answer: dict[str, Any] = {}
    error: str = ""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder to the terminal: everything of this outbox up to `upto` is stored, without a gap."""

    v: int = VERSION
    at: At
    # id of the recorder's store; if it changes, the agent sends again
    store: Annotated[str, Meta(min_length=1, max_length=64)]
    outbox: OutboxId
    upto: Count
    # SHA-256 of the newest imported parcels with rows of this outbox: rows that came that way count as sent
    parcels: Annotated[tuple[ParcelDigest, ...], Meta(max_length=8)] = ()


class Topic(NamedTuple):
    """One line of the contract's table."""

    leaf: str  # below yinong/1/<name>/; `{}` stands for one level
    type: type[msgspec.Struct]
    qos: Literal[0, 1]
    retained: bool
    receipted: bool
    by: Literal["terminal", "recorder", "console"]


TOPICS = (
    Topic("state", State, 1, True, False, "terminal"),
    Topic("heartbeat", Heartbeat, 0, False, False, "terminal"),
    Topic("device/{class}/{id}", Device, 1, True, True, "terminal"),
    Topic("standard", Standard, 1, True, True, "terminal"),
    Topic("journal", Journal, 1, False, True, "terminal"),
    Topic("scan", Scan, 1, False, True, "terminal"),
    Topic("telemetry", Telemetry, 1, False, False, "terminal"),
    Topic("reply", Reply, 1, False, False, "terminal"),
    Topic("command/{name}", Command, 1, False, False, "console"),
    Topic("receipt", Receipt, 1, True, False, "recorder"),
)


def topic(name: str, leaf: str) -> str:
    """`yinong/1/<name>/<leaf>`, the terminal's whole branch being `yinong/1/<name>/#`."""
    return f"{ROOT}/{name}/{leaf}"


def type_of(leaf: str) -> type[msgspec.Struct] | None:
    """The message type of a leaf such as `device/printer/main`; None if the contract has none."""
    first, *rest = leaf.split("/")
    for known in TOPICS:
        head, *parts = known.leaf.split("/")
        if head == first and len(parts) == len(rest) and all(rest):
            return known.type
    return None
