"""Runs a check that may block in a child process, which is killed after a time limit.

A hung camera or USB printer can block an ioctl forever; a thread that waits for it cannot be ended, a process can. The
child is a module of the driver's folder that imports only the lightest parts of the standard library (about 20 ms to start;
therefore the `__init__.py` of a driver's folder holds only a docstring). It receives its arguments as JSON in argv and prints
one JSON object.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from drivers.reading import CannotLook, Evidence


async def run_child(module: str, arguments: dict[str, Any], budget_s: float) -> dict[str, Any]:
    """Run `python -m module '<arguments as JSON>'` and return the JSON object that it prints.

    Errors: CannotLook `timed_out` after `budget_s` (the child is killed), CannotLook `driver_failed` if it ends
    without a result (its last line on stderr is the evidence). Cancellation kills the child too.
    """
    async with _child(module, arguments) as process:
        try:
            async with asyncio.timeout(budget_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise CannotLook("timed_out", Evidence("child process", module), budget_s=budget_s) from None
        answer = _object(out)
        if answer is None:
            raise _failed(module, process, err)
        return answer


async def stream_child(
    module: str, arguments: dict[str, Any], on_object: Callable[[dict[str, Any]], None], budget_s: float
) -> None:
    """As `run_child`, for a child that prints one JSON object per line: `on_object` is called with each, until the child ends
    or after `budget_s`.

    Errors: CannotLook `driver_failed` if it fails or prints something else.
    """
    async with _child(module, arguments) as process:
        assert process.stdout and process.stderr
        try:
            async with asyncio.timeout(budget_s):
                async for line in process.stdout:
                    printed = _object(line)
                    if printed is None:
                        raise _failed(module, process, line)
                    on_object(printed)
                if await process.wait():
                    raise _failed(module, process, await process.stderr.read())
        except TimeoutError:  # the normal end
            return


@contextlib.asynccontextmanager
async def _child(module: str, arguments: dict[str, Any]) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The child is killed and reaped at the end of the block, however the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        _START,
        module,
        json.dumps(arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            with contextlib.suppress(TimeoutError):  # a child blocked in the kernel is reaped when the kernel returns
                async with asyncio.timeout(1):
                    await process.wait()


def _object(printed: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(printed)
    except ValueError:
        return None
    return cast(dict[str, Any], parsed) if isinstance(parsed, dict) else None


def _failed(module: str, process: asyncio.subprocess.Process, output: bytes) -> CannotLook:
    last = output.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1][:200]
    return CannotLook("driver_failed", Evidence("child process", module, process.returncode), error=last or "no answer")


# -I ignores the caller's folder and environment; the search path of this process is passed instead.
_START = f"import sys,runpy; sys.path[:]={sys.path!r}; m=sys.argv.pop(1); runpy.run_module(m, run_name='__main__')"
