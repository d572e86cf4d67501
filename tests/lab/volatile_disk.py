"""A disk with a volatile write cache that a power cut really loses: an NBD server in its own process.

What a machine wrote is safe only once it has flushed (or wrote with FUA). Killing QEMU alone loses the machine's memory; what
it had written and not flushed survives in the host's page cache. Here such sectors live in this process, and `cut` drops them:
each physical sector of 4 KiB by itself is lost or kept by a seeded coin, which is torn pages and writes out of order at once.
Disks and eMMC of today write 4 KiB whole, and ext4 counts on it: torn within its blocks it asked for fsck after 8 of 252 cuts.

    disk = VolatileDisk(image, socket)      image: a raw file, written in place
    machine.plug_disk("outbox", disk.socket) ... machine.power_cut()
    lost = disk.cut(seed=7, keep=0.5)

Between a commit's write and its flush lie milliseconds, which a cut by the clock seldom meets. So the disk can choose the moment:
`stop_in` has it fall silent in the middle of a request, and QEMU is killed then.

A disk that `lies` says of a flush at once that it is done, and has each sector on the medium a second later.
The protocol is NBD's fixed newstyle negotiation and simple replies (NetworkBlockDevice/nbd, doc/proto.md).
"""

import argparse
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

SECTOR = 512  # logical: the unit that a machine addresses
PHYSICAL = 8  # sectors that the medium writes entirely or not at all
LIE_S = 1.0

_OPTION, _OPTION_REPLY = 0x49484156454F5054, 0x3E889045565A9
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFO_EXPORT, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1
_FLAGS = 1 | 4 | 8  # flags are sent; flush and FUA are supported
_REPLY = 0x67446698
_EINVAL = 22


class Lost(NamedTuple):
    """The state of the disk at a cut."""

    unflushed: int  # sectors that were written and not flushed
    kept: int  # of these, at random
    flushes: int  # since the last cut
    writes: int


class VolatileDisk:
    """See the module. The server ends with this process."""

    def __init__(self, image: Path, at: Path, *, lies: bool = False) -> None:
        self.image, self.socket = image, at
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-I", __file__, image, at]
        self._server = subprocess.Popen(
            [*command, *(["--lies"] if lies else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._said()

    def cut(self, *, seed: str, keep: float) -> Lost:
        """The power fails. Call it once QEMU has ended; waits until its connection is closed.

        `keep`: the chance of each physical sector to have its unflushed data on the medium all the same; 0 loses all.
        """
        return Lost(**self._asked(seed=seed, keep=keep))

    def stop_in(self, request: int) -> None:
        """In the n-th write or flush from now the disk stops: it leaves that one and all others unanswered.

        Of a write the data is in the cache, a flush is not done.
        """
        self._asked(stop_in=request)

    def has_stopped(self, *, within_s: float = 5) -> bool:
        """Wait for it. False if the machine has not written that often by then."""
        return bool(self._asked(within_s=within_s)["stopped"])

    def close(self) -> None:
        """The server ends; what was not flushed is lost."""
        self._server.kill()
        self._server.communicate()
        self.socket.unlink(missing_ok=True)

    def _asked(self, **order: str | float) -> dict[str, int]:
        assert self._server.stdin
        print(json.dumps(order), file=self._server.stdin, flush=True)
        return self._said()

    def _said(self) -> dict[str, int]:
        assert self._server.stdout
        return json.loads(self._server.stdout.readline())


class _Medium:
    """The image, and in front of it the cache: sector number -> bytes and when they were written."""

    def __init__(self, image: Path, *, lies: bool) -> None:
        self._file = os.open(image, os.O_RDWR)
        self.size = os.fstat(self._file).st_size
        self._lies = lies
        self._cache: dict[int, tuple[bytes, float]] = {}
        self._flushes = self._writes = 0
        self._left: int | None = None  # writes and flushes until it stops
        self._stopped = threading.Event()

    def stop_in(self, request: int) -> None:
        self._left = request

    def has_stopped(self, within_s: float) -> bool:
        return self._stopped.wait(within_s)

    def works(self) -> bool:
        """To be called with each write and flush: false from the one in which the disk stops."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._stopped.set()
        return not self._stopped.is_set()

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(os.pread(self._file, length, offset))
        if self._cache:
            for at in range(0, length, SECTOR):
                if cached := self._cache.get((offset + at) // SECTOR):
                    data[at : at + SECTOR] = cached[0]
        return bytes(data)

    def write(self, offset: int, data: bytes, *, through: bool) -> None:
        self._writes += 1
        now = time.monotonic()
        for at in range(0, len(data), SECTOR):
            self._cache[(offset + at) // SECTOR] = (data[at : at + SECTOR], now)
        if through and not self._lies:
            for at in range(0, len(data), SECTOR):
                del self._cache[(offset + at) // SECTOR]
            os.pwrite(self._file, data, offset)

    def flush(self) -> None:
        self._flushes += 1
        until = time.monotonic() - LIE_S if self._lies else float("inf")
        self._settle([sector for sector, (_, came) in self._cache.items() if came <= until])

    def cut(self, seed: str, keep: float) -> Lost:
        chance = random.Random(seed)
        unflushed = len(self._cache)
        physical = sorted({sector // PHYSICAL for sector in self._cache})
        made_it = {one for one in physical if chance.random() < keep}
        kept = [sector for sector in self._cache if sector // PHYSICAL in made_it]
        self._settle(kept)
        self._cache.clear()
        lost = Lost(unflushed, len(kept), self._flushes, self._writes)
        self._flushes = self._writes = 0
        self._left = None
        self._stopped.clear()
        return lost

    def _settle(self, sectors: list[int]) -> None:
        for sector in sectors:
            os.pwrite(self._file, self._cache.pop(sector)[0], sector * SECTOR)


def _serve(connection: socket.socket, medium: _Medium) -> None:
    """One client, until it disconnects: its requests one after the other; no replies once the disk has stopped."""
    with connection, connection.makefile("rb") as asked:
        try:
            if _agree(connection, asked, medium.size):
                while _answer(connection, asked, medium):
                    pass
            while asked.read(1 << 16):
                pass
        except (EOFError, ConnectionError):
            pass


def _agree(connection: socket.socket, asked: BufferedReader, size: int) -> bool:
    """The negotiation; false if the client requests nothing more."""
    connection.sendall(b"NBDMAGIC" + struct.pack(">QH", _OPTION, 3))  # fixed newstyle, no zeroes
    _exactly(asked, 4)
    while True:
        _, option, length = struct.unpack(">QII", _exactly(asked, 16))
        _exactly(asked, length)

        def reply(kind: int, data: bytes = b"", option: int = option) -> None:
            connection.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

        if option == _EXPORT_NAME:
            connection.sendall(struct.pack(">QH", size, _FLAGS))
            return True
        if option in (_INFO, _GO):
            reply(_INFO_EXPORT, struct.pack(">HQH", 0, size, _FLAGS))
            reply(_ACK)
            if option == _GO:
                return True
        elif option == _ABORT:
            reply(_ACK)
            return False
        else:
            reply(_UNSUPPORTED)


def _answer(connection: socket.socket, asked: BufferedReader, medium: _Medium) -> bool:
    """One request; false if no more will be answered."""
    _, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", _exactly(asked, 28))
    data, error = b"", 0
    if command == _READ:
        data = medium.read(offset, length)
    elif command == _WRITE:
        works = medium.works()
        medium.write(offset, _exactly(asked, length), through=bool(flags & _FUA) and works)
        if not works:
            return False
    elif command == _FLUSH:
        if not medium.works():
            return False
        medium.flush()
    elif command == _DISCONNECT:
        return False
    else:
        error = _EINVAL
    connection.sendall(struct.pack(">IIQ", _REPLY, error, cookie) + data)
    return True


def _exactly(asked: BufferedReader, length: int) -> bytes:
    data = asked.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _main() -> None:
    """`volatile_disk.py IMAGE SOCKET [--lies]`: a line of JSON once it listens, and one for each line with a request."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--lies", action="store_true")
    options = parser.parse_args()
    medium = _Medium(options.image, lies=options.lies)
    clients: list[threading.Thread] = []
    options.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(options.socket))
        listening.listen()

        def take_clients() -> None:
            while True:
                connection, _ = listening.accept()
                client = threading.Thread(target=_serve, args=(connection, medium), daemon=True)
                clients.append(client)
                client.start()

        threading.Thread(target=take_clients, daemon=True).start()
        print("{}", flush=True)
        for line in sys.stdin:
            print(json.dumps(_granted(json.loads(line), medium, clients)), flush=True)


def _granted(order: dict[str, Any], medium: _Medium, clients: list[threading.Thread]) -> dict[str, int]:
    if "stop_in" in order:
        medium.stop_in(order["stop_in"])
        return {}
    if "within_s" in order:
        return {"stopped": medium.has_stopped(order["within_s"])}
    while clients:
        clients.pop().join()
    return medium.cut(**order)._asdict()


if __name__ == "__main__":
    _main()
