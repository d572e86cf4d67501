"""Two terminals under one name in the live view: a run sends again after another run began."""

from datetime import UTC, datetime, timedelta

from support.messages_of import NAME, OUTBOX, heartbeat, state

from center.live.stations import CLONE_WINDOW_S, Instant, Stations, StationView
from center.store.intake import Arrived
from common.messages import topic

OTHER_OUTBOX = "ba9876543210"


class County:
    """The live view's stations, and times on a clock that the test sets."""

    def __init__(self) -> None:
        self.stations = Stations(self.at(0))

    def at(self, second: float) -> Instant:
        return Instant(second, datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=second))

    def receive(self, second: float, leaf: str, payload: bytes, *, retained: bool = False) -> None:
        self.stations.receive(Arrived(topic(NAME, leaf), payload, retained), self.at(second))

    def clones(self, second: float) -> tuple[str, ...]:
        (view,) = self.stations.views.values()
        assert isinstance(view, StationView)
        return view.clones(self.at(second))


def beat(run: str, outbox: str = OUTBOX) -> bytes:
    return heartbeat().replace(b'"r1"', f'"{run}"'.encode()).replace(OUTBOX.encode(), outbox.encode())


def test_a_restart_is_no_clone() -> None:
    county = County()
    county.receive(0, "state", state(run="r1"))
    county.receive(60, "heartbeat", beat("r1"))
    county.receive(70, "state", state(run="r2"))
    county.receive(71, "state", state("lost", run="r1"))  # the will of the ended run arrives late
    county.receive(130, "heartbeat", beat("r2"))
    assert county.clones(131) == ()


def test_two_terminals_with_one_name_are_shown_by_fingerprint_and_outbox() -> None:
    county = County()
    county.receive(0, "state", state(run="r1", fingerprint="aaaa"))
    county.receive(10, "state", state(run="r2", fingerprint="bbbb", outbox=OTHER_OUTBOX))
    assert county.clones(11) == ()
    county.receive(60, "heartbeat", beat("r1"))
    assert county.clones(61) == (f"aaaa/{OUTBOX}", f"bbbb/{OTHER_OUTBOX}")


def test_terminals_with_equal_parts_are_recognised_by_their_runs_and_forgotten_when_one_is_gone() -> None:
    county = County()
    for second, run in ((0, "r1"), (40, "r2"), (100, "r1"), (190, "r2")):
        county.receive(second, "state", state(run=run))
    assert county.clones(191) == (f"f/{OUTBOX}", f"f/{OUTBOX}")
    for second in range(200, CLONE_WINDOW_S + 400, 60):
        county.receive(second, "heartbeat", beat("r2"))
    assert county.clones(CLONE_WINDOW_S + 400) == ()


def test_a_retained_birth_is_no_sign_of_life() -> None:
    county = County()
    county.receive(0, "state", state(run="r2"))
    county.receive(60, "state", state(run="r1"), retained=True)
    county.receive(120, "heartbeat", beat("r2"))
    assert county.clones(121) == ()


def test_runs_are_bounded() -> None:
    county = County()
    for n in range(1000):
        county.receive(n * 100, "state", state(run=f"r{n}"))
    (view,) = county.stations.views.values()
    assert len(view._runs) == 4
