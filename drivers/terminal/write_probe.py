"""Child process: write a small file, wait until it is on the disk, then delete it.

A separate process because fsync on a failing flash can block for minutes. Arguments `{"folder": path}`; prints a line
`{"write": "begun"}` (without it the terminal was too busy, and the state of the disk is unknown), then the result
`{"write": "ok"}` or `{"write": "EROFS"}` (the name of the error).
"""

import contextlib
import errno
import json
import os
import sys


def probe(folder: str) -> str:
    """`ok`, or the name of the error that the disk returned."""
    path = os.path.join(folder, f".write-probe-{os.getpid()}")  # noqa: PTH118 (no pathlib: it doubles the start-up)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"yinong-agent looks whether this disk can be written\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "EIO")
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    return "ok"


if __name__ == "__main__":
    print(json.dumps({"write": "begun"}), flush=True)
    print(json.dumps({"write": probe(json.loads(sys.argv[1])["folder"])}))
