"""Control cards: the gun is the officer's keyboard. Pure: texts of cards are made and parsed (`agent.scans.card_actions` acts).

    YNC1.SHIP.3QZ5M2K7YV4XTB6A          YNC1.PRODUCT.46ZID5VK.…          prefix . action [. value] . signature

Upper-case letters, digits and dots only: the QR code's own alphanumeric mode, the same on every keyboard layout, and parsed
in either case because CapsLock must not matter. The value (a product's name, a batch) is its UTF-8 in base32 (RFC 4648)
without padding. The signature is HMAC-SHA-256 (RFC 2104) over domain, station and all that precedes it, truncated to 80 bits,
with the key of this station's terminal: a forged card, another station's card or a changed one has no effect. A copy of the
sheet is as good as the sheet: after a new key (remove the file, print again) the old cards have no effect.
"""

import hashlib
import hmac
import re
from base64 import b32decode, b32encode
from typing import NamedTuple

from drivers.reading import YinongError

PREFIX = "YNC1."
SIGNATURE_BYTES = 10  # 80 bits, 16 characters; a gun can try about ten a minute
MAX_VALUE_BYTES = 60  # 20 Chinese characters: a QR code of version 6, 4 cm wide at most

_DOMAIN = b"yinong control card 1\0"
_CARD = re.compile(r"(YNC1\.([A-Z]{2,12})(?:\.([A-Z2-7]{2,96}))?)\.([A-Z2-7]{16})")
_LOOKS = re.compile(r"(?:\][A-Za-z][0-9A-Za-z])?YNC1\.", re.IGNORECASE)  # also if the gun sends an AIM identifier


class BadCard(YinongError):  # noqa: N818
    """The card cannot be made."""


class Action(NamedTuple):
    """What a card does, in the words printed on it."""

    code: str
    zh: str
    en: str
    does_zh: str
    does_en: str
    step: str = ""  # business step (CBV 2.0 section 7.1) of the following scans


ACTIONS = {
    action.code: action
    for action in (
        Action("RECEIVE", "收货", "receive", "之后扫的码记为收货", "what follows is received", "receiving"),
        Action("SHIP", "出库", "ship", "之后扫的码记为出库", "what follows is shipped", "shipping"),
        Action("INSPECT", "检测", "inspect", "之后扫的码记为检测", "what follows is inspected", "inspecting"),
        Action("SELL", "销售", "sell", "之后扫的码记为销售", "what follows is sold", "retail_selling"),
        Action(
            "PRODUCT", "产品", "product", "之后扫的码属于该产品（批次要重新扫）",
            "what follows belongs to this product; its batch is to be scanned anew",
        ),
        Action("BATCH", "批次", "batch", "之后扫的码属于该批次", "what follows belongs to this batch"),
        Action(
            "CLEAR", "清除", "clear", "之后扫的码不再带环节、产品和批次",
            "what follows has no step, product or batch any more",
        ),
        Action("VOID", "作废", "void", "作废刚才扫的一条（原记录保留）", "void this gun's last scan; both stay recorded"),
        Action("CHECK", "自检", "check", "马上检查全部设备", "look at all devices now"),
        Action("MEASURE", "测速", "measure", "马上进行宽带测速", "measure the line now"),
        Action("LIST", "清单", "list", "显示今天扫了多少条", "today's counts"),
    )
}  # fmt: skip
WITH_VALUE = frozenset(("PRODUCT", "BATCH"))
STEPS = {action.step: action for action in ACTIONS.values() if action.step}


class Card(NamedTuple):
    action: str  # code of ACTIONS
    value: str = ""


class CardRefusal(NamedTuple):
    """A text that looks like a card and is not a valid card of this station."""

    reason: str  # form, signature, no_key, unknown_action


def card_text(key: bytes, station: str, card: Card) -> str:
    """The card's text. `station` is the station's key, `450225/GXBRS0001B`. Raises BadCard."""
    if card.action not in ACTIONS:
        raise BadCard(f"没有 {card.action} 这种卡 / there is no card {card.action}")
    value = card.value.encode()
    if (card.action in WITH_VALUE) != bool(value):
        raise BadCard(f"{ACTIONS[card.action].zh}：内容为空或多余 / {card.action}: a value is missing or out of place")
    if len(value) > MAX_VALUE_BYTES or not card.value.isprintable():
        raise BadCard(
            f"“{card.value}”太长（最多 {MAX_VALUE_BYTES // 3} 个汉字）或含有不可打印字符 / "
            f"{card.value!r} is longer than {MAX_VALUE_BYTES} bytes or not printable"
        )
    head = PREFIX + card.action + (f".{_base32(value)}" if value else "")
    return f"{head}.{_signature(key, station, head)}"


def looks_like_card(text: str) -> bool:
    """Whether a scan looks like a card: such a text is never goods, valid or not."""
    return _LOOKS.match(text) is not None


def parse_card(text: str, key: bytes | None, station: str) -> Card | CardRefusal:
    """Parse a text that looks like a card."""
    found = _CARD.fullmatch(text[text.find(".") - len(PREFIX) + 1 :].upper())
    if found is None:
        return CardRefusal("form")
    if key is None:
        return CardRefusal("no_key")
    head, action, value, signature = found.groups()
    if not hmac.compare_digest(signature, _signature(key, station, head)):
        return CardRefusal("signature")
    try:
        card = Card(action, _text(value or ""))
    except ValueError:
        return CardRefusal("form")
    return card if action in ACTIONS and (action in WITH_VALUE) == bool(card.value) else CardRefusal("unknown_action")


def _signature(key: bytes, station: str, head: str) -> str:
    mac = hmac.new(key, _DOMAIN + station.encode() + b"\0" + head.encode(), hashlib.sha256)
    return _base32(mac.digest()[:SIGNATURE_BYTES])


def _base32(data: bytes) -> str:
    return b32encode(data).decode("ascii").rstrip("=")


def _text(base32: str) -> str:
    """Raises ValueError (the errors of binascii and of the decoder are ValueErrors)."""
    return b32decode(base32 + "=" * (-len(base32) % 8)).decode()
