"""The internet of a virtual station, in its own network namespace: names, the correct time, and a few pages.

DNS (RFC 1035) answers A for the names below and NXDOMAIN for all others. NTP (RFC 5905, server mode 4) gives the true time,
which the lab's host writes as an offset to the time since boot into /run/lab.true-time: the station's own clock, which this
process shares, may be wrong. HTTP answers 204 at /generate_204 and a small page elsewhere.
"""

import selectors
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_NAMES = {
    b"ntp.example": "203.0.113.53",
    b"www.example": "203.0.113.80",
    b"village.example": "203.0.113.80",
    b"county.example": "10.0.2.2",
}
_RESOLVERS = ("203.0.113.53", "223.5.5.5", "119.29.29.29", "114.114.114.114")
_NTP_ERA = 2_208_988_800  # seconds from 1900 to 1970
_PAGE = "<!doctype html><meta charset=utf-8><title>本村网页</title><h1>益农信息社</h1>".encode()


def dns_answer(query: bytes) -> bytes:
    """The answer to one query of one question."""
    end = 12
    labels: list[bytes] = []
    while query[end]:
        labels.append(query[end + 1 : end + 1 + query[end]])
        end += 1 + query[end]
    question = query[12 : end + 5]
    (kind,) = struct.unpack_from(">H", query, end + 1)
    address = _NAMES.get(b".".join(labels).lower())
    answers = [address] if address and kind == 1 else []
    flags = 0x8180 if address else 0x8183
    body = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(a) for a in answers)
    return query[:2] + struct.pack(">HHHHH", flags, 1, len(answers), 0, 0) + question + body


def ntp_answer(query: bytes, offset_s: float) -> bytes:
    """The answer of a stratum 2 server whose time is `offset_s` after the boot."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME) + offset_s + _NTP_ERA
    stamp = struct.pack(">II", int(now), int(now % 1 * (1 << 32)))
    head = struct.pack(">BBbbII4s", 0x24, 2, 6, -20, 1 << 8, 1 << 8, socket.inet_aton("203.0.113.53"))
    return head + stamp + query[40:48] + stamp + stamp


def answer_datagrams() -> None:
    waiting = selectors.DefaultSelector()
    for port, addresses in ((53, _RESOLVERS), (123, _RESOLVERS[:1])):
        for address in addresses:
            listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listening.bind((address, port))
            waiting.register(listening, selectors.EVENT_READ, port)
    offset = Path("/run/lab.true-time")
    while True:
        for ready, _ in waiting.select():
            listening = ready.fileobj
            assert isinstance(listening, socket.socket)
            query, peer = listening.recvfrom(2048)
            try:
                if ready.data == 53:
                    listening.sendto(dns_answer(query), peer)
                elif offset.exists():  # else no correct time is set yet: no answer, as from a server that is down
                    listening.sendto(ntp_answer(query, float(offset.read_text())), peer)
            except (IndexError, struct.error, OSError):
                continue


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = b"" if self.path == "/generate_204" else _PAGE
        self.send_response(200 if page else 204)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the journal is for the agent."""


if __name__ == "__main__":
    threading.Thread(target=answer_datagrams, daemon=True).start()
    ThreadingHTTPServer(("203.0.113.80", 80), Pages).serve_forever()
