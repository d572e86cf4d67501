"""Two peers of JSON lines on unix sockets: QEMU's machine protocol, and the lab's hand in the station (guest/hand.py)."""

import contextlib
import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any

from lab.places import LabError


class Lines:
    """JSON objects, one a line, both ways."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._waiting = b""

    def send(self, what: dict[str, Any]) -> None:
        self._socket.settimeout(30)
        self._socket.sendall(json.dumps(what).encode() + b"\n")

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next object. Errors: TimeoutError at the deadline (monotonic), ConnectionError if the peer is gone."""
        while b"\n" not in self._waiting:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the peer has closed the line")
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class Qmp:
    """QEMU's machine protocol (qmp-spec): commands, and events kept until they are read."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self.events: list[dict[str, Any]] = []
        self._lines.receive(time.monotonic() + 10)
        self("qmp_capabilities")

    def __call__(self, command: str, within_s: float = 30, **arguments: Any) -> Any:
        """Return the result of the command. Errors: LabError with QEMU's text."""
        self._lines.send({"execute": command, "arguments": arguments})
        deadline = time.monotonic() + within_s
        while True:
            answer = self._lines.receive(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise LabError(f"QEMU refuses {command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def close(self) -> None:
        self._lines.close()


class Hand:
    """Calls into the station; several may run concurrently."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self._numbers = itertools.count(time.monotonic_ns())  # an answer for an earlier host has another number
        self._answers: dict[int, dict[str, Any]] = {}

    def start(self, call: str, **arguments: Any) -> int:
        """Start a call without waiting: `finish` waits for the returned ticket."""
        number = next(self._numbers)
        self._lines.send({"id": number, "call": call, "with": arguments})
        return number

    def finish(self, ticket: int, within_s: float) -> Any:
        """Return the result of the call. Errors: LabError with the station's text, TimeoutError."""
        deadline = time.monotonic() + within_s
        while ticket not in self._answers:
            answer = self._lines.receive(deadline)
            self._answers[answer["id"]] = answer
        answer = self._answers.pop(ticket)
        if "fails" in answer:
            raise LabError(f"in the station: {answer['fails']}\n{answer.get('trace', '')}")
        return answer.get("returns")

    def __call__(self, call: str, within_s: float = 60, **arguments: Any) -> Any:
        return self.finish(self.start(call, **arguments), within_s)

    def close(self) -> None:
        self._lines.close()
