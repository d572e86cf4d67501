"""Whether an outbox file lies in the terminal that wrote it: part is held against part. Pure; the cases stand in decision 24."""

from typing import NamedTuple

MAX_PER_KIND = 8  # parts of a kind that are remembered


class Hardware(NamedTuple):
    """A terminal as it was seen: its name in messages, and its parts (`agent.host.fingerprint.parts`)."""

    fingerprint: str
    parts: frozenset[str] | None  # None: nobody looked at them (a file of an earlier version)

    @property
    def text(self) -> str | None:
        """The parts as the file keeps them."""
        return None if self.parts is None else "\n".join(sorted(self.parts))

    @classmethod
    def from_text(cls, fingerprint: str, text: str | None) -> "Hardware":
        """As the file has it."""
        return cls(fingerprint, None if text is None else frozenset(text.splitlines()))


class Match(NamedTuple):
    """The kinds of parts that could be compared. A kind of which one side shows nothing says nothing."""

    # at least one part is on both sides: a missing card is no contradiction, an added one is none
    agree: frozenset[str]
    # both sides show parts, and none is the same
    differ: frozenset[str]

    @property
    def same_terminal(self) -> bool:
        """Where kinds contradict one another most of them decide; on a tie the network cards do."""
        more = len(self.agree) - len(self.differ)
        return not self.differ or more > 0 or (more == 0 and "mac" in self.agree)


def compare(before: Hardware, now: Hardware) -> Match:
    """Where one side has no parts, the fingerprints are all there is to compare."""
    if before.parts is None or now.parts is None:
        alike = before.fingerprint == now.fingerprint
        fingerprints = frozenset({"fingerprint"})
        return Match(fingerprints, frozenset()) if alike else Match(frozenset(), fingerprints)
    kinds = {_kind(part) for part in before.parts} & {_kind(part) for part in now.parts}
    agree = frozenset(_kind(part) for part in before.parts & now.parts)
    return Match(agree, frozenset(kinds - agree))


def merged(before: Hardware, now: Hardware) -> Hardware:
    """The same terminal, under its first fingerprint, as it is known from now on: parts that were replaced are forgotten,
    those that are only missing are not."""
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
