"""The checks after every power cut: a pure function of what was typed, shown, kept on the disk and stored at the county."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A committed message, on the station's disk or in the county's store."""

    outbox: str
    seq: int
    kind: str
    digest: str  # SHA-256 of its bytes, hex
    says: Any  # of a scan [number, text, damage], of the journal [event, boot, details]


class AtCounter(NamedTuple):
    """What the gun typed, cycle by cycle, and which of it the officer was shown as read."""

    typed: Sequence[Sequence[str]]
    shown: Sequence[str]


class Kept(NamedTuple):
    """The outbox on the disk; `receipted`: up to which number, by outbox id."""

    rows: Sequence[Row]
    receipted: Mapping[str, int]


class Stored(NamedTuple):
    """The county's store; `heads`: the numbers in its receipts, by outbox id."""

    rows: Sequence[Row]
    heads: Mapping[str, int]
    conflicts: int
    set_aside: int


class Findings(NamedTuple):
    """The faults that were found; empty if all is well."""

    lost: frozenset[str]  # shown to the officer but not on the disk; once all is delivered: not at the county
    twice: frozenset[str]  # stored more than once
    wrong: tuple[str, ...]  # sentences

    @property
    def all_is_well(self) -> bool:
        return not (self.lost or self.twice or self.wrong)


def check(counter: AtCounter, kept: Kept, stored: Stored, *, delivered: bool) -> Findings:
    """After a cut; `delivered`: the agent reports that nothing waits, so the county must have everything.

    The county's rows are to be read before the disk and its heads after it, where the agent runs already.
    """
    at_county = [text for _, text, damage in _scans(stored.rows) if not damage]
    on_disk = [text for _, text, damage in _scans(kept.rows) if not damage]
    safe = frozenset(on_disk) & frozenset(at_county) if delivered else frozenset(on_disk)
    lost = frozenset(counter.shown) - safe
    twice = frozenset(text for text, times in Counter(at_county).items() if times > 1)
    wrong = [*_numbers(kept), *_texts(counter, on_disk, len(_scans(kept.rows)) - len(on_disk))]
    wrong += [*_starts(kept), *_county(kept, stored)]
    return Findings(lost, twice, tuple(wrong))


def _scans(rows: Sequence[Row]) -> list[tuple[int, str, str | None]]:
    return [tuple(row.says) for row in rows if row.kind == "scan"]


def _numbers(kept: Kept) -> Iterator[str]:
    """Sequence numbers and the gun's own numbers start at 1 and have no gap."""
    if len(kept.receipted) > 1:
        yield f"another outbox was begun: {sorted(kept.receipted)}"
    for outbox in kept.receipted:
        places = [row.seq for row in kept.rows if row.outbox == outbox]
        if places != list(range(1, len(places) + 1)):
            yield f"the sequence of {outbox} has gaps: {places}"
    numbers = [number for number, _, _ in _scans(kept.rows)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the gun's numbers have gaps: {numbers}"


def _texts(counter: AtCounter, on_disk: Sequence[str], damaged: int) -> Iterator[str]:
    """Each cycle has a prefix of the typed texts, in order: a missing scan in the middle was lost."""
    places = {text: (cycle, at) for cycle, texts in enumerate(counter.typed) for at, text in enumerate(texts)}
    yield from (f"nobody typed {text!r}" for text in on_disk if text not in places)
    found = [places[text] for text in on_disk if text in places]
    yield from (f"{b} is kept after {a}" for a, b in pairwise(found) if b <= a)
    if not damaged:
        per_cycle = Counter(cycle for cycle, _ in found)
        ends = dict(found)
        yield from (f"cycle {c}: of {ends[c] + 1} scans {n} are kept" for c, n in per_cycle.items() if ends[c] + 1 != n)


def _starts(kept: Kept) -> Iterator[str]:
    """Each start after the first reports a cut, names the previous run, and found the outbox in order."""
    starts = [row.says[1:] for row in kept.rows if row.kind == "journal" and row.says[0] == "start"]
    for at, (_, details) in enumerate(starts):
        if details["outbox"] not in (("new", "kept") if at == 0 else ("kept",)):
            yield f"start {at}: the outbox was {details['outbox']}: {details.get('outbox_details')}"
        if details["previous_end"] != ("cut" if at else "first"):
            yield f"start {at}: the run before is said to have ended as {details['previous_end']}"
    for (boot, _), (next_boot, details) in pairwise(starts):
        if boot == next_boot or details.get("previous_boot") != boot:
            yield f"boot {next_boot} after {boot} names {details.get('previous_boot')} as the one before"


def _county(kept: Kept, stored: Stored) -> Iterator[str]:
    """The county has nothing that the station does not know; no receipt on the disk covers more than the county has."""
    digests = {(row.outbox, row.seq): row.digest for row in kept.rows}
    for row in stored.rows:
        if digests.get((row.outbox, row.seq)) != row.digest:
            yield f"the county has {row.kind} {row.outbox}/{row.seq}, which the station has lost: {row.says}"
    for outbox, upto in kept.receipted.items():
        if upto > stored.heads.get(outbox, 0):
            yield f"a receipt up to {upto} of {outbox}; the county has {stored.heads.get(outbox, 0)}"
    if stored.conflicts or stored.set_aside:
        yield f"{stored.conflicts} conflicts and {stored.set_aside} set aside at the county"
