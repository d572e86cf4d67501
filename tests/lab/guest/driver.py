"""One poll of one driver, by the program in the service's sandbox that has all drivers loaded (lab/look.py)."""

import json
import socket
from typing import Any

_SOCKET = "\0lab-look"


def look(asked: dict[str, Any]) -> str:
    """The reading as JSON; nothing if the driver has failed."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(_SOCKET)
        server.sendall(json.dumps(asked).encode() + b"\n")
        return server.makefile().read()
