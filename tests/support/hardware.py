"""A terminal's hardware in /sys, as a small folder tree."""

import shutil
from pathlib import Path

from agent.host.fingerprint import fingerprint, parts


class Machine:
    """A small /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", "utf-8")

    def device(self, link: str, real: str) -> None:
        target = self.root / "sys/devices" / real
        target.mkdir(parents=True, exist_ok=True)
        at = self.root / "sys" / link
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(target)

    def card(self, name: str, mac: str, *, real: str | None = "pci0/0000:02:00.0", permanent: bool = True) -> None:
        self.write(f"class/net/{name}/address", mac)
        self.write(f"class/net/{name}/addr_assign_type", "0" if permanent else "1")
        if real:
            self.device(f"class/net/{name}/device", real)

    def no_card(self, name: str) -> None:
        """Its driver is not loaded yet, or the card was removed."""
        shutil.rmtree(self.root / "sys/class/net" / name)

    def disk(self, name: str, serial: str, *, real: str = "pci0/ata1", file: str = "device/serial") -> None:
        self.device(f"block/{name}/device", f"{real}/{name}")
        self.write(f"block/{name}/{file}", serial)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.root)

    @property
    def parts(self) -> frozenset[str]:
        return parts(self.root)
