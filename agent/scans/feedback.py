"""What the gun in the officer's hand tells of a scan: a beep, BEL or ACK, after the commit and never before."""

from typing import Protocol


class Feedback(Protocol):
    """`gun` is the id of the gun's table. Neither blocks nor raises: it is called in the event loop."""

    def ok(self, gun: str) -> None:
        """Committed: a capture of goods, or a card that did what it says."""
        ...

    def refused(self, gun: str) -> None:
        """Scan again: the capture is damaged, or the card did nothing."""
        ...


class NoFeedback:
    """Says nothing."""

    def ok(self, gun: str) -> None: ...

    def refused(self, gun: str) -> None: ...
