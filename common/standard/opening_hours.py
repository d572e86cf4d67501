"""When a station is open: the `[opening_hours]` section and its evaluation. Pure.

Opening hours affect verdicts and availability, never a condition. They are Beijing time (UTC+8, China's only
legal time, without summer time), so a wrong time zone of the terminal does not matter.
"""

from datetime import date, datetime, timedelta, timezone
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

BEIJING = timezone(timedelta(hours=8))
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAILY = ("08:00-18:00",)

Span: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^{_CLOCK}-(?:{_CLOCK}|24:00)$",
        description='时间段，如 "08:00-18:00" / a span of time like "08:00-18:00"',
    ),
]


class OpeningHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans of each weekday; an empty list is a closed day. `holidays` are closed on any weekday."""

    monday: tuple[Span, ...] = _DAILY
    tuesday: tuple[Span, ...] = _DAILY
    wednesday: tuple[Span, ...] = _DAILY
    thursday: tuple[Span, ...] = _DAILY
    friday: tuple[Span, ...] = _DAILY
    saturday: tuple[Span, ...] = _DAILY
    sunday: tuple[Span, ...] = _DAILY
    holidays: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        for weekday in range(7):
            for span in self.of_weekday(weekday):
                begin, end = minutes(span)
                if begin >= end:
                    raise ValueError(f"{span} 的结束早于开始（过午夜请分成两天写） / {span} ends before it begins")

    def of_weekday(self, weekday: int) -> tuple[Span, ...]:
        """`weekday` as in datetime: 0 is Monday."""
        week = (self.monday, self.tuesday, self.wednesday, self.thursday, self.friday, self.saturday, self.sunday)
        return week[weekday]


def is_open(opening_hours: OpeningHours, moment: datetime) -> bool:
    """Whether the station is open at `moment` (any offset; ValueError without one). A span includes its begin, not its end."""
    if moment.tzinfo is None:
        raise ValueError("the moment has no UTC offset")
    here = moment.astimezone(BEIJING)
    if here.date() in opening_hours.holidays:
        return False
    minute = here.hour * 60 + here.minute
    return any(begin <= minute < end for begin, end in map(minutes, opening_hours.of_weekday(here.weekday())))


def always_open(opening_hours: OpeningHours) -> bool:
    """Whether no clock is needed to know that the station is open."""
    whole_days = all("00:00-24:00" in opening_hours.of_weekday(weekday) for weekday in range(7))
    return whole_days and not opening_hours.holidays


def minutes(span: str) -> tuple[int, int]:
    """Begin and end of a span in minutes since midnight."""
    (from_h, from_min), (to_h, to_min) = (part.split(":") for part in span.split("-"))
    return int(from_h) * 60 + int(from_min), int(to_h) * 60 + int(to_min)
