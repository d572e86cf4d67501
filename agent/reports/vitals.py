"""What the daemon itself takes of the terminal right now: memory, threads, descriptors."""

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def vitals(root: Path = Path("/")) -> dict[str, int]:
    """`rss_bytes`, `threads`, `descriptors`, from /proc/self; what cannot be read is left out."""
    own = root / "proc/self"
    found: dict[str, int] = {}
    try:
        found["rss_bytes"] = int((own / "statm").read_text("ascii").split()[1]) * _PAGE
        found["threads"] = sum(1 for _ in (own / "task").iterdir())
        found["descriptors"] = sum(1 for _ in (own / "fd").iterdir())
    except (OSError, ValueError, IndexError):
        pass
    return found
