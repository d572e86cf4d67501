"""Which rows were sent (to brokers, or in parcels that the county names), and whether another terminal continues under an id."""

from agent.outbox.rows import Row
from agent.outbox.sent import CloneDetector, Sent
from common.messages import Receipt

OUTBOX = "0123456789ab"


def row(seq: int) -> Row:
    return Row(seq, OUTBOX, seq, "journal", b"{}", False)


def receipt(upto: int, outbox: str = OUTBOX, parcels: tuple[str, ...] = ()) -> Receipt:
    return Receipt(at="2026-03-02T09:00:00.000+08:00", store="s", outbox=outbox, upto=upto, parcels=parcels)


def test_a_row_accepted_before_the_first_receipt_arrives_hides_nothing_of_what_the_file_knows() -> None:
    sent = Sent()
    sent.add([row(7), row(8)])
    assert not sent.knows(OUTBOX)
    sent.begin(OUTBOX, 6)
    assert sent.knows(OUTBOX) and sent.upto(receipt(8)) == 8


def test_rows_of_a_parcel_count_if_they_adjoin_what_brokers_accepted() -> None:
    sent = Sent()
    sent.begin(OUTBOX, 6)
    sent.add_parcel(OUTBOX, 7, 20)
    assert sent.upto(receipt(20)) == 20
    sent.add_parcel(OUTBOX, 30, 40)
    assert sent.upto(receipt(40)) == 20


def test_a_receipt_that_grows_beyond_what_this_file_assigned_is_another_terminal() -> None:
    clones = CloneDetector()
    assert [clones.saw(receipt(upto), 7) for upto in (5, 7, 9, 9, 12)] == [False, False, False, False, True]


def test_the_first_life_of_a_file_that_was_restored_is_no_clone() -> None:
    clones = CloneDetector()
    assert not any(clones.saw(receipt(33), 7) for _ in range(5))


def test_each_outbox_id_is_compared_with_itself_and_a_parcel_is_no_sign() -> None:
    clones = CloneDetector()
    assert not clones.saw(receipt(9), 7)
    assert not clones.saw(receipt(20, "b" * 12), 7)
    assert not clones.saw(receipt(30, parcels=("p",)), 7)
