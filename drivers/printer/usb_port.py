"""Child process: requests a USB printer's port status and IEEE 1284 id (USB Printer Class 1.1 sections 4.2.1, 4.2.2).

By hand: `python -m drivers.printer.usb_port '{"lp": "/dev/usb/lp0", "usbfs": "/dev/bus/usb/001/004"}'`. Arguments: `lp` (empty
if usblp is unbound), `usbfs`, `interface`, `alternate`. Prints one JSON object: `status` (the port status byte) or `error`
(an errno name) with `path`, `how`, and `device_id` if the printer returned it. Sends no data; imports only the lightest parts
of the standard library. A printer that hangs can block the ioctl for seconds: the caller then kills this process.
"""

import errno
import fcntl
import json
import os
import struct
import sys
from ctypes import addressof, create_string_buffer

_LPGETSTATUS = 0x060B  # linux/lp.h; usblp answers it with GET_PORT_STATUS
_CONTROL = struct.Struct("@BBHHHIP")  # struct usbdevfs_ctrltransfer, linux/usbdevice_fs.h
_USBDEVFS_CONTROL = 0xC0000000 | _CONTROL.size << 16 | ord("U") << 8  # _IOWR('U', 0, struct usbdevfs_ctrltransfer)
_TIMEOUT_MS = 1500


def main(arguments: dict[str, object]) -> dict[str, object]:
    """The result to print."""
    lp, usbfs = str(arguments.get("lp") or ""), str(arguments.get("usbfs") or "")
    interface, alternate = _int(arguments.get("interface")), _int(arguments.get("alternate"))
    answer: dict[str, object] = {}
    path = lp or usbfs
    try:
        answer["how"] = "LPGETSTATUS" if lp else "GET_PORT_STATUS"
        answer["status"] = _by_usblp(lp) if lp else _control(usbfs, 1, 0, interface, 1)[0]
    except OSError as error:
        answer |= {"error": errno.errorcode.get(error.errno or 0, str(error.errno)), "path": path}
    except IndexError:
        answer |= {"error": "ENODATA", "path": path}
    if not arguments.get("device_id"):
        try:  # usbfs allows GET_DEVICE_ID even while another driver has claimed the interface
            text = _control(usbfs, 0, 0, interface << 8 | alternate, 1023)
            answer["device_id"] = text[2:].decode("utf-8", "replace").rstrip("\0")[:1023]
        except OSError as error:
            answer["device_id_error"] = errno.errorcode.get(error.errno or 0, str(error.errno))
    return answer


def _by_usblp(path: str) -> int:
    """One opener only: EBUSY while another program prints through it."""
    port = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = bytearray(4)
        fcntl.ioctl(port, _LPGETSTATUS, status)
        return int.from_bytes(status, sys.byteorder) & 0xFF
    finally:
        os.close(port)


def _control(path: str, request: int, value: int, index: int, length: int) -> bytes:
    """A class request to the interface, device to host (bmRequestType A1)."""
    port = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = create_string_buffer(length)
        transfer = bytearray(_CONTROL.pack(0xA1, request, value, index, length, _TIMEOUT_MS, addressof(data)))
        count = fcntl.ioctl(port, _USBDEVFS_CONTROL, transfer)
        return data.raw[:count]
    finally:
        os.close(port)


def _int(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= 255 else 0


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
