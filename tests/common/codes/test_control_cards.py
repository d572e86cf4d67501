"""Control cards: a card is valid at its own station only; and the key that signs them."""

import os
import stat
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.keys import CARD_KEY, CardKeyError, card_key
from common.codes.control_cards import (
    ACTIONS,
    WITH_VALUE,
    BadCard,
    Card,
    CardRefusal,
    card_text,
    looks_like_card,
    parse_card,
)

KEY = bytes(range(32))
STATION = "450225/GXBRS0001B"
ALPHANUMERIC = set(string.ascii_uppercase + string.digits + " $%*+-./:")  # ISO/IEC 18004, alphanumeric mode

plain = st.sampled_from([code for code in ACTIONS if code not in WITH_VALUE]).map(Card)
printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
valued = st.builds(Card, st.sampled_from(sorted(WITH_VALUE)), printable.filter(lambda t: len(t.encode()) <= 60))
any_card = plain | valued


@given(any_card)
def test_a_card_is_short_plain_text_and_read_back_in_either_case(card: Card):
    text = card_text(KEY, STATION, card)
    assert set(text) <= ALPHANUMERIC and len(text) <= 128
    assert looks_like_card(text)
    assert parse_card(text, KEY, STATION) == card == parse_card(text.lower(), KEY, STATION)
    assert parse_card(f"]Q1{text}", KEY, STATION) == card


@given(any_card)
def test_another_key_or_station_refuses_it(card: Card):
    text = card_text(KEY, STATION, card)
    assert parse_card(text, bytes(32), STATION) == CardRefusal("signature")
    assert parse_card(text, KEY, "450225/GXBRS0002B") == CardRefusal("signature")
    assert parse_card(text, None, STATION) == CardRefusal("no_key")


@given(any_card, st.data())
def test_a_changed_card_has_no_effect(card: Card, data: st.DataObject):
    text = card_text(KEY, STATION, card)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from(sorted(ALPHANUMERIC))) + text[at + 1 :]
    if changed != text:
        assert not looks_like_card(changed) or isinstance(parse_card(changed, KEY, STATION), CardRefusal)


@given(any_card, st.integers(1, 40))
def test_half_a_card_or_two_cards_in_one_have_no_effect(card: Card, cut: int):
    text = card_text(KEY, STATION, card)
    assert parse_card(text[: max(5, len(text) - cut)], KEY, STATION) in (CardRefusal("form"), CardRefusal("signature"))
    assert parse_card(text + text, KEY, STATION) == CardRefusal("form")


@given(st.text())
def test_any_text_after_the_prefix_is_refused_and_none_raises(tail: str):
    assert isinstance(parse_card(f"YNC1.{tail}", KEY, STATION), CardRefusal)


@pytest.mark.parametrize(
    "goods", ["6901234567892", "]E0690", "YNC2.SHIP", "YNC1", "https://x.cn/YNC1.SHIP", "", " YNC1."]
)
def test_a_text_without_the_prefix_is_goods(goods: str):
    assert not looks_like_card(goods)


def test_the_text_of_a_card_stays_the_same_so_that_printed_sheets_stay_valid():
    assert card_text(KEY, STATION, Card("SHIP")) == "YNC1.SHIP.B372RLNCOBMOSIF4"
    assert card_text(KEY, STATION, Card("PRODUCT", "沃柑")) == "YNC1.PRODUCT.42ZIHZU7SE.AKOTSZFMALBKF4Y6"


@pytest.mark.parametrize(
    "card", [Card("FLY"), Card("SHIP", "x"), Card("PRODUCT"), Card("BATCH", "柑" * 21), Card("BATCH", "a\x1db")]
)
def test_a_card_that_could_not_be_read_is_not_made(card: Card):
    with pytest.raises(BadCard):
        card_text(KEY, STATION, card)


# --- the key ---


def test_the_key_is_created_once_private_and_kept(tmp_path):
    outbox = tmp_path / "state/outbox.db"
    key = card_key(outbox)
    assert len(key) == 32 and key != bytes(32) and card_key(outbox) == key
    assert stat.S_IMODE((outbox.parent / CARD_KEY).stat().st_mode) == 0o600
    assert [path.name for path in outbox.parent.iterdir()] == [CARD_KEY]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_that_root_creates_belongs_to_the_daemons_user(tmp_path):
    os.chown(tmp_path, 12345, 12346)
    card_key(tmp_path / "outbox.db")
    made = (tmp_path / CARD_KEY).stat()
    assert (made.st_uid, made.st_gid) == (12345, 12346)


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    card_key(tmp_path / "outbox.db")
    (tmp_path / CARD_KEY).chmod(0o644)
    with pytest.raises(CardKeyError, match="0644"):
        card_key(tmp_path / "outbox.db")


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_damaged_key_is_not_used_and_not_replaced(tmp_path, content: bytes):
    (tmp_path / CARD_KEY).write_bytes(content)
    (tmp_path / CARD_KEY).chmod(0o600)
    with pytest.raises(CardKeyError):
        card_key(tmp_path / "outbox.db")
    assert (tmp_path / CARD_KEY).read_bytes() == content


def test_a_folder_that_cannot_be_used_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CardKeyError):
        card_key(tmp_path / "file/outbox.db")
