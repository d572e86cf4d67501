"""Whether an outbox file is on the terminal that wrote it: compared part by part. Pure; decision 24 lists the cases."""

from typing import NamedTuple

MAX_PER_KIND = 8  # parts of a kind that are stored


class Hardware(NamedTuple):
    """A terminal as read: its fingerprint in messages, and its parts (`agent.host.fingerprint.parts`)."""

    fingerprint: str
    parts: frozenset[str] | None  # None: never read (a file of an earlier version)

    @property
    def text(self) -> str | None:
        """The parts as the file stores them."""
        return None if self.parts is None else "\n".join(sorted(self.parts))

    @classmethod
    def from_text(cls, fingerprint: str, text: str | None) -> "Hardware":
        """From the stored form."""
        return cls(fingerprint, None if text is None else frozenset(text.splitlines()))


class Match(NamedTuple):
    """The kinds of parts that could be compared. A kind that one side lacks completely proves nothing."""

    # at least one part is on both sides: neither a missing card nor an added one contradicts
    agree: frozenset[str]
    # both sides have parts, and none is the same
    differ: frozenset[str]

    @property
    def same_terminal(self) -> bool:
        """If kinds contradict one another the majority decides; on a tie the network cards do."""
        more = len(self.agree) - len(self.differ)
        return not self.differ or more > 0 or (more == 0 and "mac" in self.agree)


def compare(before: Hardware, now: Hardware) -> Match:
    """Compare part by part; if one side has no parts, only the fingerprints can be compared."""
    if before.parts is None or now.parts is None:
        alike = before.fingerprint == now.fingerprint
        fingerprints = frozenset({"fingerprint"})
        return Match(fingerprints, frozenset()) if alike else Match(frozenset(), fingerprints)
    kinds = {_kind(part) for part in before.parts} & {_kind(part) for part in now.parts}
    agree = frozenset(_kind(part) for part in before.parts & now.parts)
    return Match(agree, frozenset(kinds - agree))


def merged(before: Hardware, now: Hardware) -> Hardware:
    """The same terminal, under its first fingerprint, as it is stored from now on: parts that were replaced are dropped,
    those that are only missing are kept."""
    if before.parts is None or now.parts is None:
        return Hardware(before.fingerprint, before.parts if now.parts is None else now.parts)
    replaced = compare(before, now).differ
    missing = {part for part in before.parts - now.parts if _kind(part) not in replaced}
    kept: dict[str, list[str]] = {}
    for part in [*sorted(now.parts), *sorted(missing)]:
        kept.setdefault(_kind(part), []).append(part)
    return Hardware(before.fingerprint, frozenset(part for one in kept.values() for part in one[:MAX_PER_KIND]))


def _kind(part: str) -> str:
    return part.partition(" ")[0]
