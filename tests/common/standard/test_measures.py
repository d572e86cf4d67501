"""What the measures of screen, line and printer-copier prove."""

import pytest
from support.judged import of, seen, verdict

from common.standard.rules import Rules

# --- the screen


@pytest.mark.parametrize(
    ("area_m2", "expected"),
    [
        (1.163, ("met", "screen_large_enough")),  # 65 inches
        (0.992, ("not_met", "screen_too_small")),  # 60 inches
        (1.0, ("met", "screen_large_enough")),
        (0.834, ("not_met", "screen_too_small")),  # 55 inches
        (None, ("unproven", "screen_area_unknown")),
        (float("nan"), ("unproven", "screen_area_unknown")),
        (True, ("unproven", "screen_area_unknown")),
    ],
)
def test_a_screen_counts_with_its_area(area_m2, expected):
    for condition in ("working", "attention", "in_use"):
        assert verdict("led_screen", seen(condition, area_m2=area_m2)) == expected


@pytest.mark.parametrize(
    ("area_m2", "expected"), [(0.984, "not_met"), (0.9975, "unproven"), (1.014, "unproven"), (1.016, "met")]
)
def test_a_size_in_whole_centimetres_near_the_limit_has_to_be_measured(area_m2, expected):
    assert of("led_screen", seen("working", area_m2=area_m2, size_from="bytes_cm")).verdict == expected


def test_a_screen_whose_size_may_only_be_a_ratio_is_unproven():
    reading = seen("working", "connected_check_size", area_m2=1.44)
    assert verdict("led_screen", reading) == ("unproven", "screen_area_doubtful")


def test_a_county_can_ask_for_a_larger_screen():
    assert of("led_screen", seen("working", area_m2=1.5), rules=Rules(min_area_m2=2)).verdict == "not_met"


def test_a_large_screen_that_is_broken_is_not_met():
    assert of("led_screen", seen("faulty", area_m2=2.0)).verdict == "not_met"


# --- the line


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"line_mbps": 8.0}, ("met", "line_fast_enough")),
        ({"line_mbps": 7.2}, ("met", "line_fast_enough")),
        ({"line_mbps": 7.19}, ("not_met", "line_too_slow")),
        ({"line_mbps": None}, ("unproven", "line_not_measured")),
        ({}, ("unproven", "line_not_measured")),
        ({"line_mbps": None, "down_mbps": 7.5}, ("met", "line_fast_enough")),
        ({"line_mbps": None, "down_mbps": 6.9}, ("unproven", "line_not_measured")),
        ({"line_mbps": 6.0, "down_mbps": 5.7}, ("not_met", "line_too_slow")),
        ({"line_mbps": 0.0}, ("not_met", "line_too_slow")),
    ],
)
def test_a_line_counts_with_its_line_equivalent_rate(measures, expected):
    assert verdict("broadband", seen("working", **measures)) == expected


def test_a_line_slower_than_it_was_sold_may_still_carry_8m():
    assert of("broadband", seen("faulty", "below_8m", line_mbps=30.0)).verdict == "met"
    assert verdict("broadband", seen("faulty", "below_8m", line_mbps=5.0)) == ("not_met", "line_too_slow")


def test_a_line_that_is_down_is_not_met_although_it_was_fast():
    assert of("broadband", seen("unreachable", line_mbps=20.0)).verdict == "not_met"


# --- the printer-copier


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"can_copy": True}, ("met", "prints_and_copies")),
        ({"can_copy": False}, ("not_met", "cannot_copy")),
        ({"can_copy": None}, ("unproven", "copying_unproven")),
        ({}, ("unproven", "copying_unproven")),
        ({"can_copy": True, "can_print": False}, ("not_met", "cannot_print")),
        ({"can_copy": 1}, ("unproven", "copying_unproven")),
    ],
)
def test_a_printer_must_print_and_copy(measures, expected):
    assert verdict("printer", seen("attention", "toner_low", **measures)) == expected
