"""Pure arithmetic and judgement: from payload to line rate, and from the answers to a condition.

A line sold as 8M carries less than 8 Mbit/s of TCP payload because of headers. Comparing a raw reading with 8.0 fails every
line that is exactly 8M, so the comparison is made at the layer at which the line is sold: `line = goodput x wire / payload`.
"""

from typing import Literal, NamedTuple, TypeAlias

from drivers.reading import Condition, Reason, Scalar

Access: TypeAlias = Literal["ethernet", "pppoe", "adsl", "ip"]
CountyAnswer: TypeAlias = Literal["answered", "refused", "silent"]

# Bytes of one full packet. IPv4 20, TCP 20 (RFC 791, RFC 9293), timestamps 12 (RFC 7323, with padding; on by default in Linux).
_IP_TCP, _TIMESTAMPS = 40, 12
_ETHERNET, _VLAN, _FCS = 14, 4, 4  # IEEE 802.3, 802.1Q
_PPPOE = 8  # RFC 2516: 6 of PPPoE, 2 of PPP
_LLC_SNAP, _AAL5 = 10, 8  # RFC 2684 bridged without FCS; ITU-T I.363.5 trailer
_CELL, _CELL_PAYLOAD = 53, 48  # ATM
_MTU: dict[Access, int] = {"ethernet": 1500, "ip": 1500, "pppoe": 1492, "adsl": 1492}


def wire_per_payload(access: Access, mtu: int | None = None) -> float:
    """Bytes on the line for each byte of TCP payload, with full packets.

    With P = MTU - 52 of payload: `ip` MTU / P (the line is shaped at the IP layer); `ethernet` (MTU + 14) / P; `pppoe`
    (MTU + 8 + 14 + 4 VLAN + 4 FCS) / P; `adsl` 53 x ceil((MTU + 8 + 14 + 10 + 8) / 48) / P. `mtu` is the interface's; the
    access's own limit (1492 under PPPoE) applies if that is larger, because the router clamps the segment size to it.
    """
    size = min(_MTU[access], mtu) if mtu and mtu >= 576 else _MTU[access]
    payload = size - _IP_TCP - _TIMESTAMPS
    match access:
        case "ip":
            wire = size
        case "ethernet":
            wire = size + _ETHERNET
        case "pppoe":
            wire = size + _PPPOE + _ETHERNET + _VLAN + _FCS
        case "adsl":
            frame = size + _PPPOE + _ETHERNET + _LLC_SNAP + _AAL5
            wire = -(-frame // _CELL_PAYLOAD) * _CELL
    return wire / payload


class RequiredRate(NamedTuple):
    """The rate that the line has to reach, in decimal Mbit/s: 8M is 8,000,000 bit/s."""

    contracted_mbps: float
    ratio: float

    @property
    def threshold_mbps(self) -> float:
        return self.contracted_mbps * self.ratio


class Rate(NamedTuple):
    """The last measurement, which every reading repeats; all None and empty before the first.

    `last` is the code of the newest attempt, even without a rate; the figures are those of the newest with one.
    `last_age_s` and `age_s` count by `/proc/uptime`: over a reboot `Broadband.resumed` corrects them.
    """

    down_mbps: float | None = None
    up_mbps: float | None = None
    line_mbps: float | None = None
    age_s: float | None = None
    last: str = ""
    last_age_s: float | None = None

    @classmethod
    def carried(cls, measures: dict[str, Scalar], now_s: float | None) -> "Rate":
        """From the measures of the previous reading; empty after a reboot, because the age is then unknown."""
        before_s = number(measures, "uptime_s")
        if now_s is None or before_s is None or now_s < before_s:
            return cls()
        return cls.of(measures).older(now_s - before_s)

    @classmethod
    def of(cls, measures: dict[str, Scalar]) -> "Rate":
        """From a reading's measures."""
        last = measures.get("last_measurement")
        return cls(
            down_mbps=number(measures, "down_mbps"),
            up_mbps=number(measures, "up_mbps"),
            line_mbps=number(measures, "line_mbps"),
            age_s=number(measures, "measured_age_s"),
            last=last if isinstance(last, str) else "",
            last_age_s=number(measures, "attempt_age_s"),
        )

    def older(self, by_s: float) -> "Rate":
        """The same, `by_s` later."""
        age_s, last_age_s = (None if age is None else round(age + by_s, 1) for age in (self.age_s, self.last_age_s))
        return self._replace(age_s=age_s, last_age_s=last_age_s)

    def attempted(self, code: str) -> "Rate":
        """After an attempt without a rate."""
        return self._replace(last=code, last_age_s=0.0)

    @property
    def measures(self) -> dict[str, Scalar]:
        return {
            "down_mbps": self.down_mbps,
            "up_mbps": self.up_mbps,
            "line_mbps": self.line_mbps,
            "measured_age_s": self.age_s,
            "last_measurement": self.last or None,
            "attempt_age_s": self.last_age_s,
        }


class Reach(NamedTuple):
    """Which hosts answered; None if none was probed."""

    gateway: bool | None
    internet: bool | None
    county: CountyAnswer | None


class Judgement(NamedTuple):
    condition: Condition
    reason: Reason


def judge_reach(reach: Reach, interface: str) -> Judgement | None:
    """Where the line is broken, from near to far; None if it is up."""
    county = None if reach.county is None else reach.county != "silent"
    beyond = [answer for answer in (reach.internet, county) if answer is not None]
    if any(beyond):
        return None
    if reach.gateway is False:
        return Judgement(Condition.UNREACHABLE, Reason("lan_down", {"interface": interface}))
    if beyond:
        return Judgement(Condition.FAULTY, Reason("access_line_down", {"interface": interface}))
    return Judgement(Condition.UNKNOWN, Reason("nothing_to_ask"))


def judge_rate(rate: Rate, required: RequiredRate, every_h: float) -> Judgement:
    """A line that is up: judged by its last measured rate."""
    if rate.line_mbps is None:
        return Judgement(Condition.WORKING, Reason("rate_not_measured", {"contracted_mbps": required.contracted_mbps}))
    params: dict[str, str | int | float] = {
        "line_mbps": rate.line_mbps,
        "wanted_mbps": round(required.threshold_mbps, 3),
        "contracted_mbps": required.contracted_mbps,
    }
    if rate.line_mbps < required.threshold_mbps:
        return Judgement(Condition.FAULTY, Reason("below_8m", params))
    if rate.age_s is not None and rate.age_s > 2 * every_h * 3600:
        return Judgement(Condition.WORKING, Reason("rate_old", params | {"limit_h": 2 * every_h}))
    return Judgement(Condition.WORKING, Reason("rate_ok", params))


def judge(reach: Reach, rate: Rate, required: RequiredRate, interface: str, every_h: float) -> Judgement:
    """Everything: a broken line before a slow one, a slow one before what only needs attention."""
    if broken := judge_reach(reach, interface):
        return broken
    by_rate = judge_rate(rate, required, every_h)
    if by_rate.condition is Condition.FAULTY:
        return by_rate
    if rate.last == "captive_page":
        return Judgement(Condition.ATTENTION, Reason("captive_page"))
    if reach.county == "silent":
        return Judgement(Condition.ATTENTION, Reason("county_unreachable"))
    if reach.county == "refused":
        return Judgement(Condition.ATTENTION, Reason("county_refuses"))
    if reach.internet is False:
        return Judgement(Condition.ATTENTION, Reason("internet_unreachable"))
    return by_rate


def number(measures: dict[str, Scalar], name: str) -> float | None:
    """A measure as a number; None if it is not a number."""
    value = measures.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
