"""What was handed over: by brokers, and by hand in parcels that the county names."""

from agent.outbox.rows import Row
from agent.outbox.sent import Sent
from common.messages import Receipt

OUTBOX = "0123456789ab"


def row(seq: int) -> Row:
    return Row(seq, OUTBOX, seq, "journal", b"{}", False)


def receipt(upto: int) -> Receipt:
    return Receipt(at="2026-03-02T09:00:00.000+08:00", store="s", outbox=OUTBOX, upto=upto)


def test_a_row_taken_before_the_first_receipt_is_heard_hides_nothing_of_what_the_file_knows() -> None:
    handed = Sent()
    handed.add([row(7), row(8)])
    assert not handed.knows(OUTBOX)
    handed.begin(OUTBOX, 6)
    assert handed.knows(OUTBOX) and handed.upto(receipt(8)) == 8


def test_what_went_by_hand_counts_where_it_joins_what_brokers_took() -> None:
    handed = Sent()
    handed.begin(OUTBOX, 6)
    handed.add_parcel(OUTBOX, 7, 20)
    assert handed.upto(receipt(20)) == 20
    handed.add_parcel(OUTBOX, 30, 40)
    assert handed.upto(receipt(40)) == 20
