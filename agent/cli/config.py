"""`config check`: all mistakes at once; the settings of commands that need them; a `[[device]]` table appended to agent.toml."""

import contextlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import cast

from agent.cli.output import Terms, print_json
from agent.configuration.device_tables import EVERY_CLASS_ID
from agent.configuration.mistakes import Mistake
from agent.configuration.settings import Settings, load
from drivers.catalogue import refused_by_system
from drivers.reading import YinongError
from drivers.table import CLASSES


def config_check(say: Terms, config: Path, *, as_json: bool) -> int:
    """Exit code 0: no mistake; 1: a device's table is disabled; 2: the daemon would not start."""
    mistakes = load(config).mistakes
    if as_json:
        print_json({"mistakes": mistakes})
    elif not mistakes:
        print(say(f"{config} 没有错误", f"{config}: no mistakes"))
    else:
        print(say(f"{config} 有 {len(mistakes)} 处错误：", f"{config}: {len(mistakes)} mistakes:"))
        for number, mistake in enumerate(mistakes, 1):
            print(f"{number}. {mistake.text('zh')}\n   {mistake.text('en')}")
    return 2 if any(m.stops_start for m in mistakes) else 1 if mistakes else 0


def settings_of(say: Terms, config: Path) -> Settings:
    """The settings in the file. Raises YinongError with the first mistake that stops the start."""
    loaded = load(config)
    if loaded.settings is None:
        raise YinongError(unusable(say, config, loaded.mistakes))
    return loaded.settings


def unusable(say: Terms, config: Path, mistakes: tuple[Mistake, ...]) -> str:
    """The message for a file that cannot be used, with the first mistake that stops the start."""
    first = next(mistake for mistake in mistakes if mistake.stops_start)
    whole = first.path == str(config)  # it cannot be read at all
    zh, en = (first.zh, first.en) if whole else (first.text("zh"), first.text("en"))
    return say(
        f"{config} 有错，程序不能使用：{zh.rstrip('。')}。请运行 yinong-agent config check",
        f"{config} cannot be used: {en}. Run yinong-agent config check",
    )


def free_id(config: Path, device_class: str, preferred: str) -> str:
    """`preferred`, with a number appended if a device of this class has that name. Raises YinongError."""
    tables = [cast("dict[str, object]", table) for table in _devices(config) if isinstance(table, dict)]
    taken = {table.get("id") for table in tables if table.get("class") == device_class}
    return next(id for id in (preferred, *(f"{preferred}-{n}" for n in range(2, 1000))) if id not in taken)


def append_table(say: Terms, config: Path, table: str, device_class: str) -> None:
    """Append `table`; every existing byte stays. If there was no table at all, each class found its devices by itself: then the
    other classes get a table of their own, so that they still do.

    If the result had a mistake that the file does not have, the file is left unchanged. Raises YinongError.
    """
    config = config.resolve()  # a symbolic link stays one
    old = _bytes(config)
    tables = [table]
    if not _devices(config):
        tables += [f'[[device]]\nclass = "{name}"\nid = "{EVERY_CLASS_ID}"' for name in CLASSES if name != device_class]
    new = old + (b"" if old.endswith(b"\n") or not old else b"\n") + "".join(f"\n{t}\n" for t in tables).encode()
    known = {(mistake.path, mistake.en) for mistake in load(config).mistakes}
    try:
        _replace(say, config, new, known)
    except OSError as error:
        raise YinongError(
            say(f"无法写入 {config}：{refused_by_system(error)}", f"cannot write {config}: {error.strerror}")
        ) from error


def _replace(say: Terms, config: Path, new: bytes, known: set[tuple[str, str]]) -> None:
    """Write to a temporary file with the same mode and owner, check it, then replace the file atomically, with fsync."""
    before = config.stat()
    fd, name = tempfile.mkstemp(prefix=f".{config.name}.", dir=config.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(new)
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.flush()
            os.fsync(file.fileno())
        worse = [m for m in load(temporary).mistakes if (m.path, m.en) not in known and not m.path.startswith(name)]
        unreadable = [m for m in load(temporary).mistakes if m.path.startswith(name)]
        if worse or unreadable:
            wrong = (unreadable or worse)[0]
            raise YinongError(
                say(f"没有写入，否则配置会出错：{wrong.zh}", f"not written, it would be wrong: {wrong.en}")
            )
        temporary.replace(config)
        folder = os.open(config.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _devices(config: Path) -> list[object]:
    """The `[[device]]` tables of the file, unchecked. Raises YinongError if it cannot be read."""
    try:
        tables = tomllib.loads(_bytes(config).decode("utf-8-sig")).get("device", [])
    except ValueError as error:
        raise YinongError(f"{config}: {error}") from error
    return cast("list[object]", tables) if isinstance(tables, list) else []


def _bytes(config: Path) -> bytes:
    try:
        return config.read_bytes()
    except OSError as error:
        raise YinongError(f"{config}: {error.strerror}") from error
