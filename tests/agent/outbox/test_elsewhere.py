"""Another terminal that goes on under an outbox id of ours."""

from agent.outbox.sent import CloneDetector
from common.messages import Receipt


def receipt(upto: int, outbox: str = "a" * 12, parcels: tuple[str, ...] = ()) -> Receipt:
    return Receipt(at="2026-11-25T08:00:00.000+08:00", store="s", outbox=outbox, upto=upto, parcels=parcels)


def test_a_receipt_that_grows_beyond_what_this_file_gave_is_another_terminal() -> None:
    ears = CloneDetector()
    assert [ears.saw(receipt(upto), 7) for upto in (5, 7, 9, 9, 12)] == [False, False, False, False, True]


def test_the_first_life_of_a_file_that_was_put_back_is_none() -> None:
    ears = CloneDetector()
    assert not any(ears.saw(receipt(33), 7) for _ in range(5))


def test_each_outbox_id_is_held_against_itself_and_what_came_by_hand_is_no_sign() -> None:
    ears = CloneDetector()
    assert not ears.saw(receipt(9), 7)
    assert not ears.saw(receipt(20, "b" * 12), 7)
    assert not ears.saw(receipt(30, parcels=("p",)), 7)
