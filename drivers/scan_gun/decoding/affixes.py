"""What a gun adds to the data: prefix, suffix and AIM identifier, as its table sets them."""

from collections.abc import Sequence

from drivers.scan_gun.capture import Damage
from drivers.scan_gun.decoding.alt_codes import Item
from drivers.symbology import is_identifier


def strip_affixes(
    items: list[Item], prefix: str, tail: str, aim: bool, code: str | None
) -> tuple[list[Item], str | None, Damage | None]:
    """The data alone, the AIM identifier without its bracket, and which expected part is missing.

    `code` is the identifier if the gun sent it separately (HID POS). Identifier and prefix come in either order.
    """
    if not items:
        return items, code, None
    missing: Damage | None = None
    aim &= code is None
    if tail and ends_with(items, tail):
        items = items[: len(items) - len(tail)]
    elif tail:
        missing = "suffix_missing"
    if aim and identifier(items):
        code, items = identifier(items), items[3:]
    if prefix and list(items[: len(prefix)]) == list(prefix):
        items = items[len(prefix) :]
    elif prefix:
        missing = "prefix_missing"
    if aim and code is None:
        code = identifier(items)
        items = items[3:] if code else items
        missing = missing if code else missing or "aim_missing"
    return items, code, missing


def ends_with(items: Sequence[Item], text: str) -> bool:
    return bool(text) and list(items[-len(text) :]) == list(text)


def identifier(items: Sequence[Item]) -> str | None:
    """The AIM identifier at the beginning, without its bracket."""
    if len(items) < 3 or items[0] != "]":
        return None
    code = "".join(c for c in items[1:3] if isinstance(c, str))
    return code if is_identifier(code) else None
