"""Codes of tracing platforms, by the county's own rules (`platforms`); nothing is claimed beyond a rule. Pure.

Not in `platforms`: the daemon checks the rules of agent.toml and must not load biip, which `gs1` needs.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from common.codes.gs1 import issuer
from common.codes.links import Link, link_of
from common.codes.platforms import PlatformRule, Template, template_of
from common.codes.types import Field, Note, Parsed, check_digit_valid, is_date, is_digits

KEYS = {"gtin": "gtin14", "batch": "lot"}  # part -> key, if their names differ
GTIN_LENGTHS = (8, 12, 13, 14)


def from_rules(data: str, rules: Sequence[PlatformRule]) -> Parsed | None:
    """Parse by the first rule that matches the whole text; None if none does."""
    if not rules:
        return None
    link = link_of(data)
    for rule in rules:
        template = template_of(rule.like)
        values = _of_address(link, template) if template.host else _of_text(data, template)
        if values is not None:
            return _read(rule, link.host if template.host else "", values)
    return None


def _of_text(data: str, template: Template) -> dict[str, str] | None:
    found = template.text.fullmatch(data) if template.text else None
    return found.groupdict() if found else None


def _of_address(link: Link, template: Template) -> dict[str, str] | None:
    """Match an address; it may have parameters that the rule does not name."""
    if not (link.host == template.host or (template.host[:2] == "*." and link.host.endswith(template.host[1:]))):
        return None
    path = template.path.fullmatch("/".join(link.path)) if template.path else None
    if template.path and path is None:
        return None
    values = {name: unquote(value) for name, value in path.groupdict().items()} if path else {}
    given = parse_qsl(link.query, keep_blank_values=True)
    for name, pattern in template.query.items():
        value = next((value for key, value in given if key.lower() == name), None)
        match = None if value is None else pattern.fullmatch(value)
        if match is None:
            return None
        values |= match.groupdict()
    return values


def _read(rule: PlatformRule, host: str, values: dict[str, str]) -> Parsed:
    fields = [*([Field("host", host)] if host else []), Field("platform", rule.name)]
    keys = {field.name: field.value for field in fields}
    for name, value in values.items():
        note, checked = _fault(name, value, rule)
        fields.append(Field(name, value, False if note else True if checked else None, note))
        if not note:
            keys[KEYS.get(name, name)] = value.zfill(14) if name == "gtin" else value
    if (gtin := keys.get("gtin14")) and (issued_by := issuer(gtin)):
        keys["issuer"] = issued_by
    return Parsed("platform", tuple(fields), keys, rule.per_package)


def _fault(name: str, value: str, rule: PlatformRule) -> tuple[Note, bool]:
    """What is wrong with a part, and whether it could be checked."""
    if name == "date":
        return ("", True) if is_date(value) else ("date", True)
    if name == "gtin" and not (is_digits(value) and len(value) in GTIN_LENGTHS):
        return "format", True
    if name == "gtin" or name == rule.check_digit:
        return ("", True) if check_digit_valid(value) else ("check_digit", True)
    return "", False
