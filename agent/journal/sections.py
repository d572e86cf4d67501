"""What the configuration is, as short hashes by section: tells that something changed and where, never what it is.

Taken from what the daemon made of the file, so no comment counts, and no secret is in it (they lie in files of their own).
"""

from hashlib import blake2s

import msgspec

from agent.configuration.settings import Loaded
from agent.journal.journal import WHOLE


def hashes_of(loaded: Loaded) -> dict[str, str]:
    """`broker`, `outbox`, …, `device:printer/main` -> 12 hex digits; WHOLE -> of all."""
    sections = dict(msgspec.to_builtins(loaded.settings)) if loaded.settings else {}
    for kind, driver in loaded.devices:
        sections[f"device:{kind.name}/{driver.id}"] = msgspec.to_builtins(driver)
    for kind, id, reason in loaded.disabled:
        sections[f"device:{kind.name}/{id}"] = msgspec.to_builtins(reason)
    hashes = {name: _hash(msgspec.json.encode(made, order="deterministic")) for name, made in sections.items()}
    return hashes | {WHOLE: _hash(msgspec.json.encode(hashes, order="deterministic"))}


def _hash(data: bytes) -> str:
    return blake2s(data, digest_size=6).hexdigest()
