"""The daemon's small states, as marks in the outbox (what is believed of a device, a gun's counter): read back leniently.

Another version of the program may have written them: a mark that does not decode is as good as none, never the end.
"""

import logging
from typing import TypeVar

import msgspec

from agent.outbox.outbox import Outbox

log = logging.getLogger(__name__)
T = TypeVar("T", bound=msgspec.Struct)


def read_state(box: Outbox, key: str, kind: type[T]) -> T | None:
    """The state under this key as last committed; None where there is none that can be read."""
    return decoded(box.mark(key), kind, key)


def decoded(mark: bytes | None, kind: type[T], key: str) -> T | None:
    """A mark's state; None where it cannot be read."""
    if mark is None:
        return None
    try:
        return msgspec.json.decode(mark, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("the state %s cannot be read and is begun anew: %s", key, error)
        return None
