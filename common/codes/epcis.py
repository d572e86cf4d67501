"""Captures as an EPCIS 2.0 document: one ObjectEvent a capture (GS1 EPCIS 2.0, CBV 2.0, JSON-LD). Pure.

What a capture becomes, from the valid parts that `common.codes.meaning` found (a wrong check digit never becomes a GS1 id):

    GTIN and serial number, SSCC, GLN        epcList       https://id.gs1.org/01/06901234567892/21/A1
    GTIN, with lot if there is one           quantityList  https://id.gs1.org/01/06901234567892/10/L1   a class, no instance
    pesticide, veterinary drug, seed unit    epcList       urn:yinong:pesticide:… vet-drug:… seed:…     codes of one package
    code of a platform, by the county's rule quantityList  urn:yinong:platform:<name>:<code>            epcList if one per package
    a number that shops assign themselves    quantityList  urn:yinong:shop:450225:GXBRS0001B:2012345678900
    anything else                            quantityList  urn:yinong:code:<percent-encoded text>       nothing more is claimed

No quantity is stated: a scan proves that one was there, not how many. URIs of ours are ASCII, the rest percent-encoded
(RFC 3986): `urn:yinong:station:450225:GXBRS0001B` (bizLocation), `urn:yinong:gun:450225-GXBRS0001B-1:main` (readPoint),
`urn:yinong:capture:<terminal>:<outbox>:<seq>` (extension element `yinong:capture`, the way back to the raw record), and
`yinong:product` and `yinong:batch` if set by a control card. The name `yinong` is not registered with IANA.
Times are China's (+08:00), whatever the terminal's own zone is. Damaged and voided captures, and those with an unknown
time, are left out and counted.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from common.codes.control_cards import STEPS
from common.codes.meaning import Meaning, meaning
from common.codes.platforms import PlatformRule
from common.messages import Capture
from common.station import Terminal

Document: TypeAlias = dict[str, Any]

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
NAMESPACE = "urn:yinong:epcis:"  # of the extension elements
OFFSET = "+08:00"
CHINA = timezone(timedelta(hours=8))

_GS1 = "https://id.gs1.org"
_BIZ_STEP = "https://ref.gs1.org/cbv/BizStep-"
_PACKAGE_CODES = {"pesticide": "pesticide", "vet_drug": "vet-drug", "seed_label": "seed"}
_RESTRICTED = re.compile("0[24]|2|98[0-4]|99")  # prefixes


class Scanned(NamedTuple):
    """A capture, when it was scanned (`common.boot_time`; None if unknown), and whether it was voided."""

    capture: Capture
    at: datetime | None
    voided: bool = False


class Exported(NamedTuple):
    """The document, and how many captures were left out and why."""

    document: Document
    events: int
    damaged: int
    voided: int
    untimed: int


def export(
    scans: Iterable[Scanned], terminal: Terminal, created: datetime, rules: Sequence[PlatformRule] = ()
) -> Exported:
    """An EPCISDocument of all usable captures. `created` is its creation date, with offset."""
    events: list[Document] = []
    damaged = voided = untimed = 0
    for capture, at, is_void in scans:
        if capture.damage is not None or not capture.text:
            damaged += 1
        elif is_void:
            voided += 1
        elif at is None:
            untimed += 1
        else:
            events.append(event(capture, at, terminal, rules))
    document: Document = {
        "@context": [CONTEXT, {"yinong": NAMESPACE}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": _time(created),
        "epcisBody": {"eventList": events},
    }
    return Exported(document, len(events), damaged, voided, untimed)


def event(capture: Capture, at: datetime, terminal: Terminal, rules: Sequence[PlatformRule] = ()) -> Document:
    """One ObjectEvent with a stable id."""
    where, station = terminal.name, f"{terminal.division}:{terminal.number.ascii}"
    form: Document = {
        "type": "ObjectEvent",
        "eventTime": _time(at),
        "eventTimeZoneOffset": OFFSET,
        **_what(meaning(capture.text, capture.symbology, rules), station),
        "action": "OBSERVE",
    }
    if (step := capture.context.get("step")) in STEPS:
        form["bizStep"] = step
    form["readPoint"] = {"id": f"urn:yinong:gun:{where}:{_encoded(capture.gun)}"}
    form["bizLocation"] = {"id": f"urn:yinong:station:{station}"}
    form["yinong:capture"] = f"urn:yinong:capture:{where}:{capture.outbox}:{capture.seq}"
    for name in ("product", "batch"):
        if value := capture.context.get(name):
            form[f"yinong:{name}"] = f"urn:yinong:{name}:{_encoded(value)}"
    return {"eventID": event_hash(form), **form}


def event_hash(form: Document) -> str:
    """The event's hash id (CBV 2.0 section 8.9), for the elements that our events have.

    `recordTime`, `eventID` and the zone in which `eventTime` is written make no difference.
    """
    return f"ni:///sha-256;{sha256(pre_hash(form).encode()).hexdigest()}?ver=CBV2.0"


def pre_hash(form: Document) -> str:
    """The canonical string (CBV 2.0 section 8.9.3): elements in the standard's order, extension elements sorted after them."""
    parts = [f"eventType={form['type']}", f"eventTime={_utc(form['eventTime'])}"]
    parts.append(f"eventTimeZoneOffset={form['eventTimeZoneOffset']}")
    if epcs := form.get("epcList"):
        parts.append("epcList" + "".join(sorted(f"epc={epc}" for epc in epcs)))
    if classes := form.get("quantityList"):
        parts.append("quantityList" + "".join(sorted(f"quantityElementepcClass={one['epcClass']}" for one in classes)))
    parts.append(f"action={form['action']}")
    if step := form.get("bizStep"):
        parts.append(f"bizStep={_BIZ_STEP}{step}")
    parts += [f"{name}id={form[name]['id']}" for name in ("readPoint", "bizLocation")]
    extensions = {name.partition(":")[2]: value for name, value in form.items() if name.startswith("yinong:")}
    parts += sorted(f"{{{NAMESPACE}}}{name}={value}" for name, value in extensions.items())
    return "".join(parts)


def _what(meant: Meaning, station: str) -> Document:
    """The object: an instance only if the code identifies one."""
    keys = meant.keys
    gtin = keys.get("gtin14")
    if gtin is not None and is_restricted(gtin):
        return _class(f"urn:yinong:shop:{station}:{_encoded(meant.text)}")
    if gtin is not None:
        if serial := keys.get("serial"):
            return _instance(f"{_GS1}/01/{gtin}/21/{_encoded(serial)}")
        lot = keys.get("lot")
        return _class(f"{_GS1}/01/{gtin}" + (f"/10/{_encoded(lot)}" if lot else ""))
    if sscc := keys.get("sscc"):
        return _instance(f"{_GS1}/00/{sscc}")
    if gln := keys.get("gln"):
        return _instance(f"{_GS1}/414/{gln}")
    kind = _PACKAGE_CODES.get(meant.kind)
    if kind is not None and meant.verdict != "wrong" and (code := keys.get("code")):
        return _instance(f"urn:yinong:{kind}:{_encoded(code)}")
    if meant.kind == "platform" and meant.verdict != "wrong" and (code := keys.get("code")):
        uri = f"urn:yinong:platform:{_encoded(keys['platform'])}:{_encoded(code)}"
        return _instance(uri) if meant.per_package else _class(uri)
    return _class(f"urn:yinong:code:{_encoded(meant.text)}")


def is_restricted(gtin14: str) -> bool:
    """Whether it is a number that shops assign themselves (restricted circulation) or a coupon's: elsewhere it means something
    else, so it is not a GS1 id. GS1 General Specifications 1.4: prefixes 02, 04, 20-29, 980-984, 99; of a GTIN-8 0 and 2.
    """
    if gtin14.startswith("000000"):
        return gtin14[6] in "02"
    return _RESTRICTED.match(gtin14, 1) is not None


def _instance(uri: str) -> Document:
    return {"epcList": [uri]}


def _class(uri: str) -> Document:
    return {"quantityList": [{"epcClass": uri}]}


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="backslashreplace")


def _time(moment: datetime) -> str:
    return moment.astimezone(CHINA).isoformat(timespec="milliseconds")


def _utc(written: str) -> str:
    moment = datetime.fromisoformat(written).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
