"""What a scan means: which kind of code, its parts, and whether they can be right. Pure; the text is never changed.

    meaning("6901234567892").keys["gtin14"] == "06901234567892"

Readers, in this order (the first certain one wins):
GS1 declared by AIM -> Digital Link -> the county's rules for platforms -> brackets -> seed label -> GS1 by its look
-> farm codes, also in an address -> any other address -> EAN/UPC
"""

import re
from collections.abc import Sequence

from common.codes.farm import from_farm_code, from_seed_label
from common.codes.gs1 import from_brackets, from_digits, from_elements
from common.codes.links import from_link
from common.codes.platform_meaning import from_rules
from common.codes.platforms import PlatformRule
from common.codes.types import Field, Kind, Meaning, Parsed, Verdict, verdict_of
from drivers.reading import Condition, Evidence, Reading, Reason
from drivers.symbology import NAMES, is_identifier

__all__ = ["Field", "Kind", "Meaning", "Verdict", "inspect_scan", "meaning", "split_symbology"]

# FNC1 in first position, with or without ECI
GS1_SYMBOLOGIES = frozenset(("C1", "e0", "d2", "d5", "Q3", "Q4", "J1", "J4"))
MAX_CHARACTERS = 8000  # a QR code holds 7,089 digits
SHOWN = 60

_TERMINATOR = re.compile("[\r\n]+$")


def meaning(text: str, symbology: str | None = None, rules: Sequence[PlatformRule] = ()) -> Meaning:
    """The meaning of any text; `unknown` if no reader is certain. Never raises.

    `symbology` is the AIM identifier (`C1`), if the gun sent one. `rules` are the county's, for the codes of tracing
    platforms. A line end after the text is the gun's and is removed; GS belongs to the code and stays.
    """
    symbology = symbology.removeprefix("]") if symbology else None
    data = _TERMINATOR.sub("", text) if len(text) <= MAX_CHARACTERS else ""
    read = _read(data, symbology, rules) if data else None
    if read is None:
        return Meaning(text=text, symbology=symbology)
    verdict = verdict_of(read.fields)
    return Meaning(
        text=text,
        symbology=symbology,
        kind=read.kind,
        verdict=verdict,
        fields=read.fields,
        keys=read.keys,
        per_package=read.per_package,
    )


def split_symbology(text: str) -> tuple[str | None, str]:
    """The AIM identifier at the start of a text, without its bracket, and the rest."""
    code = text[1:3]
    if text[:1] == "]" and is_identifier(code) and code[0] in NAMES:
        return code, text[3:]
    return None, text


def _read(data: str, symbology: str | None, rules: Sequence[PlatformRule]) -> Parsed | None:
    if symbology in GS1_SYMBOLOGIES:
        return from_elements(data, declared=True)
    link = from_link(data)
    if link is not None and link.kind == "digital_link":
        return link
    if (ruled := from_rules(data, rules)) is not None:
        return ruled
    seed = from_seed_label(data)
    return (
        from_brackets(data)
        or (seed if seed and verdict_of(seed.fields) == "ok" else None)
        or (None if link else from_elements(data, declared=False))
        or from_farm_code(data)  # before a wrong seed label: a pesticide's label may have four lines too
        or seed
        or link
        or from_digits(data, symbology)
    )


_UNDERSTOOD: dict[Kind, str] = {
    "gs1": "scan_gs1",
    "digital_link": "scan_gs1",
    "ean13": "scan_goods",
    "ean8": "scan_goods",
    "upca": "scan_goods",
    "itf14": "scan_goods",
    "pesticide": "scan_pesticide",
    "vet_drug": "scan_vet_drug",
    "seed_label": "scan_seed_label",
    "platform": "scan_platform",
    "url": "scan_url",
}


def inspect_scan(text: str, rules: Sequence[PlatformRule] = ()) -> Reading:
    """A scan's text as a reading: working (understood, every check passed), attention (something is wrong), unknown.

    The text may start with an AIM identifier. measures: `kind`, `verdict`, `gtin` (14 digits), `code`, `lot`, `serial`,
    `expiry`, `host`, `platform`, `product`, `issuer`, `symbology`, `characters`; None if the text has none, or a wrong one.
    """
    symbology, data = split_symbology(text)
    meant = meaning(data, symbology, rules)
    keys = {name: _plain(value) for name, value in meant.keys.items()}
    condition, reason = _condition_of(meant, data)
    return Reading(
        condition=condition,
        reason=reason,
        measures={
            "kind": meant.kind,
            "verdict": meant.verdict,
            "gtin": keys.get("gtin14"),
            **{
                name: keys.get(name)
                for name in ("code", "lot", "serial", "expiry", "host", "platform", "product", "issuer")
            },
            "symbology": symbology,
            "characters": len(data),
        },
        evidence=(
            Evidence(method="scan text", raw=_plain(text[:MAX_CHARACTERS])),
            *(
                Evidence(
                    method="check",
                    source=f"({field.ai}) {field.name}" if field.ai else field.name,
                    raw={"value": _plain(field.value), "ok": field.ok, "note": field.note},
                )
                for field in meant.fields
            ),
        ),
    )


def _condition_of(meant: Meaning, data: str) -> tuple[Condition, Reason]:
    if meant.kind == "unknown":
        return Condition.UNKNOWN, Reason("scan_unknown_kind" if _TERMINATOR.sub("", data) else "scan_empty")
    wrong = next((field for field in meant.fields if field.ok is False), None)
    if wrong is not None:
        codes = {"check_digit": "scan_check_digit", "date": "scan_impossible_date"}
        return Condition.ATTENTION, Reason(codes.get(wrong.note, "scan_malformed"), {"value": _shown(wrong.value)})
    doubtful = next((field for field in meant.fields if field.note), None)
    if doubtful is not None:
        joined = doubtful.note == "maybe_joined"
        code = "scan_maybe_joined" if joined else "scan_not_understood"
        return Condition.UNKNOWN, Reason(code, {"value": _shown(doubtful.value)})
    named = {"url": "host", "platform": "platform"}.get(meant.kind)
    params = {named: _shown(meant.keys[named])} if named else {}
    return Condition.WORKING, Reason(_UNDERSTOOD[meant.kind], dict(params))


def _shown(value: str) -> str:
    plain = _plain(value)
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 1]}…"


def _plain(value: str) -> str:
    """Encodable as UTF-8: a lone surrogate (an invalid byte of the command line) is escaped."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
