"""The `[[device]]` tables of agent.toml: the drivers that they configure, and the tables that are wrong."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple, TypeAlias, cast

from msgspec import Meta

from agent.configuration.mistakes import INVALID, Report, converted, report_unknown, shown
from drivers.reading import Driver, Reason
from drivers.table import DeviceClass

DeviceId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
        description='设备名：小写字母、数字、- 和 _，如 "main" / a name of a-z, 0-9, - and _ like "main"',
    ),
]
EVERY_CLASS_ID = "main"  # id of the device of each class if the file has no `[[device]]` table


class Disabled(NamedTuple):
    """A device with a wrong table: shown as `unknown`, with this reason."""

    kind: DeviceClass
    id: str
    reason: Reason


class Devices(NamedTuple):
    configured: tuple[tuple[DeviceClass, Driver], ...]
    disabled: tuple[Disabled, ...]


def read_devices(given: object, classes: Mapping[str, DeviceClass], report: Report) -> Devices:
    """The devices of parsed TOML (`tables.get("device")`); reports every mistake.

    No table at all means one device of each class, which is found automatically. A mistake in a table disables its
    device; a second table of the same class and id is a mistake too.
    """
    if given is None:
        given = [{"class": name, "id": EVERY_CLASS_ID} for name in classes]  # not in the file, so mistakes have no line
    if not isinstance(given, list):
        report("device", shown(given), "应写成 [[device]]", "must be written as [[device]]")
        return Devices((), ())
    reader = _Reader(classes, report)
    for n, table in enumerate(cast(list[object], given), 1):
        reader.read(table, n)
    return Devices(tuple(reader.configured), tuple(reader.disabled))


class _Reader:
    """Reads one table after the other."""

    def __init__(self, classes: Mapping[str, DeviceClass], report: Report) -> None:
        self._classes, self._report = classes, report
        self._taken: dict[tuple[str, str], int] = {}
        self.configured: list[tuple[DeviceClass, Driver]] = []
        self.disabled: list[Disabled] = []

    def read(self, given: object, n: int) -> None:
        path = f"device[{n}]"
        if not isinstance(given, dict):
            self._report(path, shown(given), "应写成 [[device]]", "must be written as [[device]]")
            return
        table = cast(dict[str, object], given)
        wrong: list[str] = []

        def report(where: str, value: str, zh: str, en: str) -> None:
            wrong.append(f"{where}：{zh} / {en}")
            self._report(where, value, zh, en)

        kind, device_id = self._class_of(table, path, report), _id_of(table, path, report)
        first = self._taken.setdefault((kind.name, device_id), n) if kind and device_id else n
        if first != n:
            zh, en = f"与第 {first} 个 [[device]] 重名", f"is taken by [[device]] number {first}"
            report(f"{path}.id", shown(device_id), zh, en)
        driver = _driver(kind, table, path, report) if kind else INVALID
        if kind and not wrong:
            self.configured.append((kind, cast(Driver, driver)))
        elif kind and first == n:
            reason = Reason("table_wrong", {"error": "; ".join(wrong)[:300]})
            self.disabled.append(Disabled(kind, device_id or f"{kind.name}-{n}", reason))

    def _class_of(self, table: dict[str, object], path: str, report: Report) -> DeviceClass | None:
        name = table.get("class")
        if isinstance(name, str) and name in self._classes:
            return self._classes[name]
        listed, listed_zh = ", ".join(self._classes), "、".join(self._classes)
        if name is None:
            report(
                f"{path}.class", "", f"缺少这一项，应为其中之一：{listed_zh}", f"is missing; it must be one of {listed}"
            )
        elif isinstance(name, str):
            report_unknown(name, f"{path}.class", name, self._classes, report, "这个设备类别", "device class")
        else:
            report(f"{path}.class", shown(name), f"应为其中之一：{listed_zh}", f"must be one of {listed}")
        return None


def _id_of(table: dict[str, object], path: str, report: Report) -> str | None:
    if "id" not in table:
        report(f"{path}.id", "", '缺少这一项，应为设备名，如 "main"', 'is missing; it must be a name like "main"')
        return None
    made = converted(table["id"], DeviceId, f"{path}.id", report)
    return None if made is INVALID else cast(str, made)


def _driver(kind: DeviceClass, table: dict[str, object], path: str, report: Report) -> object:
    try:
        driver_type = kind.driver_type()
    except (ImportError, AttributeError) as error:
        zh = "驱动程序无法加载，请重新安装 yinong-agent"
        report(
            f"{path}.class", shown(kind.name), zh, f"its driver cannot be loaded ({error}); install yinong-agent again"
        )
        return INVALID
    options = {key: value for key, value in table.items() if key != "class"}
    if not isinstance(options.get("id"), str):  # reported already; the other options are still checked
        options["id"] = EVERY_CLASS_ID
    return converted(options, driver_type, path, report)
