"""python tests/faults [--scans N] [--list] [NAME ...]: break one part after the other on this machine, and count scans.

For a terminal that is not in use: everything runs on loopback in a temporary folder, and what is installed there is
not touched. Exit code 0: nothing acknowledged was lost, twice or wrong; 1: something was; 2: something could not be run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from faults.known import FAULTS, CannotRun, Fault  # noqa: E402

HEAD = (
    "已扫 scanned",
    "已确认 acknowledged",
    "到县 arrived",
    "丢失 lost",
    "重复 twice",
    "错误 wrong",
    "补齐 caught up",
)


def main() -> int:
    options = _options()
    if options.list:
        for fault in FAULTS:
            print(f"{fault.name:20} {fault.title}")
        return 0
    wanted = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    codes = [_try(fault, options.scans) for fault in wanted]
    return max(codes)


def _try(fault: Fault, scans: int) -> int:
    print(f"== {fault.title}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="yinong-fault-") as folder:
            counts = fault.run(Path(folder), scans)
    except CannotRun as missing:
        print(f"   不能运行 / cannot run: {missing}", flush=True)
        return 2
    except AssertionError as stuck:
        print(f"   没有恢复 / did not recover:\n{stuck}", flush=True)
        return 1
    cells = [*map(str, counts[:6]), f"{counts.back_s:.1f} s"]
    print("   " + "  ".join(f"{head} {cell}" for head, cell in zip(HEAD, cells, strict=True)))
    print(f"   {'通过 / good' if counts.good else '有损失 / NOT good'}", flush=True)
    return 0 if counts.good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *(fault.name for fault in FAULTS)], metavar="NAME")
    parser.add_argument("--scans", type=int, default=200, help="acknowledged scans per fault (default 200)")
    parser.add_argument("--list", action="store_true", help="names and titles")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
