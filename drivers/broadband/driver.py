"""The line: a cheap look every minute, and a measurement on demand.

`look` reads counters and probes hosts from near to far, to locate where the line is broken. `measure` loads the line
for a few seconds. A look never measures; it repeats the last measurement's figures and their age, so pass the reading of
`measure` to the next `look` as `previous`.
"""

import asyncio
from pathlib import Path
from typing import Annotated, cast

import msgspec
from msgspec import Meta

from drivers.broadband.line import Access, CountyAnswer, Rate, Reach, RequiredRate, judge, number
from drivers.broadband.measurement import BadReport, Outcome, evaluate, parse_report
from drivers.broadband.nic import Nic, as_int, default_routes, interfaces, read_nic, text, uptime_s
from drivers.broadband.probes import Answer, Target, probe
from drivers.child import run_child
from drivers.reading import CannotLook, Condition, DriverError, Evidence, Found, Reading, Reason, Scalar

MEASURE_BUDGET_S = 45.0  # time limit of one `measure`; the look's own limit does not apply to it
_PROBE_S = 1.5  # one probe; the other hosts are probed only if the first is silent, so twice this at most
_BUSY_WINDOW_S = 0.5
_BUSY_SHARE = 0.05  # of the threshold
_CAP_BYTES = 6_000_000  # regardless of the endpoint's own limit, no line is loaded with more than this
_UPLOAD_BYTES = 262_144
_LOOPBACK = ("localhost", "127.", "[::1]")


class Broadband(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the station: its `[[device]]` table."""

    id: str
    interface: Annotated[str, Meta(min_length=1, max_length=15, pattern="^[^/\\s]+$")] = "auto"
    gateway: str = "auto"
    internet: tuple[str, ...] = ("223.5.5.5:53", "119.29.29.29:53", "114.114.114.114:53")
    county: str = ""
    contracted_down_mbps: Annotated[float, Meta(gt=0, le=10_000)] = 8.0
    threshold_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.9
    access: Access = "ethernet"
    mini_url: Annotated[str, Meta(pattern="^(https?://[^/\\s][^\\s]*)?$")] = ""
    measure_every_h: Annotated[float, Meta(ge=0.25, le=24 * 31)] = 24.0
    measure_s: Annotated[float, Meta(ge=1, le=10)] = 3.0

    def __post_init__(self) -> None:
        for target in (*self.internet, *((self.county,) if self.county else ())):
            Target.parse(target)
        if self.gateway != "auto":
            Target.parse(self.gateway)
        if self.interface in (".", ".."):
            raise ValueError(f"不是网络接口名 / not an interface: {self.interface!r}")

    @property
    def required(self) -> RequiredRate:
        return RequiredRate(self.contracted_down_mbps, self.threshold_ratio)

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:
        """Which hosts answer, the throughput of the interface, and the last measured rate with its age.

        Raises no DriverError: an absent interface is a reading too, which keeps the rate.
        """
        before = previous.measures if previous else {}
        now_s = uptime_s(root)
        rate = Rate.carried(before, now_s)
        try:
            nic, evidence = self._nic(root)
        except DriverError as error:
            return msgspec.structs.replace(error.reading, measures=rate.measures | {"uptime_s": now_s})
        counted = _counters(nic, before, now_s)
        gateway_at = self._gateway_address(root, nic)
        if not nic.linked or gateway_at is None:  # no cable; or linked, but no address: the router's DHCP is silent
            return Reading(
                condition=Condition.UNREACHABLE,
                reason=Reason("lan_down" if nic.linked else "no_carrier", {"interface": nic.name}),
                measures=rate.measures | _round_trips(None, [], None) | counted,
                evidence=(*evidence, Evidence("routes", "/proc/net/route", [list(r) for r in default_routes(root)])),
            )
        gateway, internet, county = await self._probe_all(root, gateway_at)
        reach = Reach(
            gateway=gateway.alive if gateway else None,
            internet=any(answer.alive for answer in internet) if internet else None,
            county=_county_answer(county),
        )
        judged = judge(reach, rate, self.required, nic.name, self.measure_every_h)
        answers = [answer for answer in (gateway, *internet, county) if answer]
        return Reading(
            condition=judged.condition,
            reason=judged.reason,
            measures=rate.measures | _round_trips(gateway, internet, county) | counted,
            evidence=(*evidence, *(answer.evidence for answer in answers)),
        )

    async def measure(self, root: Path, previous: Reading | None = None) -> Reading:
        """The line's rate, against the county's Mini endpoint, in a child process; about twice `measure_s`, 6 MB at most.

        With a rate: `working` (`rate_ok`) or `faulty` (`below_8m`). Without: a reason, never a speed; the figures in the
        reading are then those of `previous`. Raises no DriverError. The caller limits it to MEASURE_BUDGET_S.
        """
        now_s = uptime_s(root)
        known = Rate.carried(previous.measures if previous else {}, now_s)
        try:
            nic, evidence = self._nic(root)
        except DriverError as error:
            return msgspec.structs.replace(error.reading, measures=known.measures | {"uptime_s": now_s})
        try:
            outcome = await self._run_measurement(root, nic)
        except DriverError as error:
            reading = error.reading
            outcome = Outcome(None, reading.condition, reading.reason, reading.evidence)
        after = read_nic(root, nic.name) or nic
        measures: dict[str, Scalar] = {"rtt_ms": outcome.rtt_ms} | _counters(after, {}, uptime_s(root))
        if outcome.rate is None:
            reason = outcome.reason or Reason("driver_failed", {"error": "no reason"})
            condition, rate = outcome.condition, known.attempted(reason.code)
        else:
            rate = outcome.rate
            answered = Reach(gateway=None, internet=True, county=None)  # the endpoint did
            condition, reason = judge(answered, rate, self.required, nic.name, self.measure_every_h)
        return Reading(
            condition=condition,
            reason=reason,
            measures=rate.measures | measures,
            evidence=(*evidence, *outcome.evidence),
        )

    def resumed(self, measured: Reading, age_s: float, uptime_s: float, before: Reading | None) -> Reading:
        """The figures of a measurement before a restart or reboot: to be passed to the next `look` as `previous`.

        `measured` is `age_s` old now, at `uptime_s`; `before` is the newest look of this run, None if there was none.
        """
        given: dict[str, Scalar] = before.measures if before else {"uptime_s": uptime_s}
        older_s = age_s - (uptime_s - (number(given, "uptime_s") or 0.0))
        rate = Rate.of(measured.measures).older(older_s)
        return msgspec.structs.replace(before or measured, measures={**given, **rate.measures})

    def _nic(self, root: Path) -> tuple[Nic, tuple[Evidence, ...]]:
        """The interface of this line, and its state in sysfs. Raises DriverError if there is none."""
        there = interfaces(root)
        nics = [read_nic(root, name) for name in (there if self.interface == "auto" else [self.interface])]
        known = [nic for nic in nics if nic is not None]
        nic = next((nic for nic in known if nic.linked), known[0] if known else None)
        if nic is None:
            code = "no_interface" if self.interface == "auto" else "interface_missing"
            raise DriverError(
                Condition.ABSENT, code, Evidence("sysfs", "/sys/class/net", there), interface=self.interface
            )
        raw = {key: value for key, value in nic._asdict().items() if value is not None and key != "name"}
        return nic, (Evidence("sysfs", f"/sys/class/net/{nic.name}", raw),)

    def _gateway_address(self, root: Path, nic: Nic) -> str | None:
        """Address of the gateway; empty if the link has none (PPP), None if no default route uses the interface."""
        if self.gateway != "auto":
            return self.gateway
        mine = [route.gateway for route in default_routes(root) if route.interface == nic.name]
        return mine[0] if mine else None

    async def _probe_all(self, root: Path, gateway: str) -> tuple[Answer | None, list[Answer], Answer | None]:
        async with asyncio.TaskGroup() as asking:
            near = asking.create_task(probe(gateway, root, _PROBE_S)) if gateway else None
            far = asking.create_task(self._internet(root))
            county = asking.create_task(probe(self.county, root, _PROBE_S)) if self.county else None
        return near.result() if near else None, far.result(), county.result() if county else None

    async def _internet(self, root: Path) -> list[Answer]:
        """The first host; the others only if it is silent."""
        if not self.internet:
            return []
        first, *others = self.internet
        answer = await probe(first, root, _PROBE_S)
        if answer.alive or not others:
            return [answer]
        async with asyncio.TaskGroup() as asking:
            more = [asking.create_task(probe(other, root, _PROBE_S)) for other in others]
        return [answer, *(task.result() for task in more)]

    async def _run_measurement(self, root: Path, nic: Nic) -> Outcome:
        if not self.mini_url:
            raise CannotLook("no_endpoint")
        carrying = self._counted_interface(root, nic)
        rx = root / "sys/class/net" / carrying / "statistics/rx_bytes"
        if busy := await self._busy(rx):
            return busy
        arguments = {
            "url": self.mini_url,
            "length_s": self.measure_s,
            "timeout_s": max(2.0, self.measure_s),
            "cap_bytes": _CAP_BYTES,
            "upload_bytes": _UPLOAD_BYTES,
            "rx_bytes_file": str(rx),
        }
        answer = await run_child("drivers.broadband.speedtest_child", arguments, MEASURE_BUDGET_S - 2)
        try:
            report = parse_report(answer)
        except BadReport as error:
            raise CannotLook("driver_failed", error=str(error)) from None
        outcome = evaluate(report, self.access, nic.mtu, self.required, _UPLOAD_BYTES)
        over = Evidence("measured over", f"/sys/class/net/{carrying}", {"access": self.access, "mtu": nic.mtu})
        return outcome._replace(evidence=(*outcome.evidence, over))

    def _counted_interface(self, root: Path, nic: Nic) -> str:
        """The interface whose counter has to show the transfer: `lo` for an endpoint on this machine (a trial, not a line)."""
        host = self.mini_url.partition("://")[2]
        local = self.interface == "auto" and host.startswith(_LOOPBACK)
        return "lo" if local and (root / "sys/class/net/lo").is_dir() else nic.name

    async def _busy(self, rx: Path) -> Outcome | None:
        """Whether others use the line now: more than 5 % of the threshold in a short window, either way."""
        tx = rx.with_name("tx_bytes")
        loop = asyncio.get_running_loop()
        started, before = loop.time(), (as_int(text(rx)), as_int(text(tx)))
        await asyncio.sleep(_BUSY_WINDOW_S)
        after, passed_s = (as_int(text(rx)), as_int(text(tx))), loop.time() - started
        if None in before or None in after:
            raise CannotLook("no_counters")
        moved = [b - a for a, b in zip(cast(tuple[int, int], before), cast(tuple[int, int], after), strict=True)]
        mbps = max(moved) * 8 / passed_s / 1e6
        if mbps <= _BUSY_SHARE * self.required.threshold_mbps:
            return None
        seen = Evidence("nic counter", str(rx.parent), {"bytes": moved, "window_s": round(passed_s, 3)})
        return Outcome(None, Condition.UNKNOWN, Reason("line_busy", {"other_mbps": round(mbps, 2)}), (seen,))


def find(root: Path) -> list[Found]:
    """The interfaces with a default route, each a line; with several, each needs its own table."""
    found: list[Found] = []
    for name in dict.fromkeys(route.interface for route in default_routes(root)):
        nic = read_nic(root, name)
        if nic is None:
            continue
        speed = f", {nic.speed_mbps} Mbit/s" if nic.speed_mbps else ""
        kind = "Wi-Fi" if nic.wifi else "wired"
        note = "测速请用网线，不要用无线 / Measure by cable, not by Wi-Fi" if nic.wifi else ""
        mac = text(root / "sys/class/net" / name / "address") or ""
        label = f"{name} ({kind}{speed})"
        options: dict[str, Scalar] = {"interface": name}
        found.append(Found(device_class="broadband", identity=mac or name, label=label, options=options, note=note))
    return found


def _county_answer(answer: Answer | None) -> CountyAnswer | None:
    if answer is None:
        return None
    return "refused" if answer.outcome == "refused" else "answered" if answer.alive else "silent"


def _round_trips(gateway: Answer | None, internet: list[Answer], county: Answer | None) -> dict[str, Scalar]:
    beyond = next((answer.rtt_ms for answer in internet if answer.alive), None)
    county_ms = county.rtt_ms if county else None
    dns = [answer.dns_ms for answer in (*internet, county) if answer and answer.dns_ms is not None]
    return {
        "rtt_ms": beyond if beyond is not None else county_ms,
        "gateway_rtt_ms": gateway.rtt_ms if gateway else None,
        "internet_rtt_ms": beyond,
        "county_rtt_ms": county_ms,
        "dns_ms": dns[0] if dns else None,
    }


def _counters(nic: Nic, before: dict[str, Scalar], now_s: float | None) -> dict[str, Scalar]:
    """Counters now, and the throughput since the previous reading; None at the first, after a reboot or a reset counter."""
    before_s = number(before, "uptime_s")
    passed_s = now_s - before_s if now_s is not None and before_s is not None else 0.0

    def mbps(name: str, now: int | None) -> float | None:
        was = number(before, name)
        if now is None or was is None or now < was or passed_s <= 0:
            return None
        return round((now - was) * 8 / passed_s / 1e6, 3)

    return {
        "nic_down_mbps": mbps("rx_bytes", nic.rx_bytes),
        "nic_up_mbps": mbps("tx_bytes", nic.tx_bytes),
        "nic_speed_mbps": nic.speed_mbps,
        "carrier_changes": nic.carrier_changes,
        "wifi_level_dbm": nic.wifi_level_dbm,
        "rx_bytes": nic.rx_bytes,
        "tx_bytes": nic.tx_bytes,
        "uptime_s": now_s,
    }
