"""Up to which number rows have arrived without a gap, and the effect of a receipt on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.messages import Receipt
from common.receipts import Contiguous, ReceiptState, apply_receipt

OUTBOX = "0123456789ab"


def receipt(upto: int, store: str = "s1", outbox: str = OUTBOX) -> Receipt:
    return Receipt(at="2026-11-24T08:00:00.000+08:00", store=store, outbox=outbox, upto=upto)


@given(st.integers(0, 5), st.lists(st.integers(1, 40)))
def test_numbers_in_any_order_and_repeated_count_up_to_the_first_gap(upto: int, seqs: list[int]) -> None:
    numbers, come = Contiguous(upto), set(range(1, upto + 1))
    for seq in seqs:
        assert numbers.add(seq) is (seq not in come)
        come.add(seq)
        assert numbers.upto == next(n for n in range(100) if n + 1 not in come)
        assert all((n in numbers) is (n in come) for n in range(1, 45))
    beyond = {n for first, last in numbers.beyond for n in range(first, last + 1)}
    assert beyond == {n for n in come if n > numbers.upto}
    assert all(a[1] + 1 < b[0] for a, b in zip(numbers.beyond, numbers.beyond[1:], strict=False))


def test_live_rows_first_and_the_backlog_after_them_join() -> None:
    numbers = Contiguous(0, [7, 8, 9])
    assert (numbers.upto, numbers.beyond) == (0, ((7, 9),))
    for seq in range(1, 7):
        numbers.add(seq)
    assert (numbers.upto, numbers.beyond) == (9, ())


def test_no_number_is_below_one() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Contiguous().add(0)


def test_a_receipt_advances_and_a_repeated_one_changes_nothing() -> None:
    first = apply_receipt(ReceiptState(OUTBOX), receipt(5), last_seq=9)
    assert first == (ReceiptState(OUTBOX, "s1", 5), False)
    assert apply_receipt(first.state, receipt(5), last_seq=9) == first


def test_a_receipt_of_another_outbox_changes_nothing() -> None:
    known = ReceiptState(OUTBOX, "s1", 5)
    assert apply_receipt(known, receipt(7, outbox="ffffffffffff"), last_seq=9) == (known, False)


def test_a_lower_number_or_a_new_store_makes_the_terminal_send_again() -> None:
    known = ReceiptState(OUTBOX, "s1", 5)
    assert apply_receipt(known, receipt(3), last_seq=9) == (ReceiptState(OUTBOX, "s1", 3), True)
    assert apply_receipt(known, receipt(0, "s2"), last_seq=9) == (ReceiptState(OUTBOX, "s2", 0), True)
    assert apply_receipt(known, receipt(6, "s2"), last_seq=9) == (ReceiptState(OUTBOX, "s2", 6), False)


def test_an_old_receipt_that_the_broker_kept_does_not_make_the_terminal_send_again() -> None:
    known = ReceiptState(OUTBOX, "s1", 5)
    assert apply_receipt(known, receipt(3), last_seq=9, retained=True) == (known, False)


def test_nothing_is_receipted_that_was_never_numbered() -> None:
    assert apply_receipt(ReceiptState(OUTBOX), receipt(100), last_seq=9) == (ReceiptState(OUTBOX), False)
