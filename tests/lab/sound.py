"""Microphone and speaker: snd-aloop carries sound from one side to the microphone of the other; snd-dummy is a speaker."""

import math
import struct
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.station import Station

_RATE = 16_000


class Microphone:
    """A microphone in a room that is silent, or full of a tone: the capture side `hw:Loopback,1` of snd-aloop."""

    device = "hw:Loopback,1"

    def __init__(self, station: "Station") -> None:
        self.station = station
        station.run("modprobe snd-aloop; udevadm settle")

    @contextmanager
    def hears_a_tone(self, hertz: int = 1000) -> Generator[None]:
        """A tone is played into the room."""
        wave = (round(12_000 * math.sin(2 * math.pi * hertz * n / _RATE)) for n in range(_RATE))
        self.station.put("/run/lab.tone", b"".join(struct.pack("<h", each) for each in wave))
        play = f"while cat /run/lab.tone; do :; done | aplay -q -t raw -f S16_LE -r {_RATE} -c 1 -D plughw:Loopback,0"
        self.station.put("/run/lab.play-tone", f"#!/bin/sh\n{play}\n", 0o755)
        self.station.run("systemd-run -q --collect --unit lab-tone /run/lab.play-tone")
        self.station.wait_for("grep -q RUNNING /proc/asound/Loopback/pcm0p/sub0/status", "the tone")
        try:
            yield
        finally:
            self.station.run("systemctl stop lab-tone")

    def unplug(self) -> None:
        self.station.run("modprobe -r snd-aloop; udevadm settle")

    def plug(self) -> None:
        self.station.run("modprobe snd-aloop; udevadm settle")


class Speaker:
    """A speaker without sound: snd-dummy."""

    device = "plughw:Dummy,0"

    def __init__(self, station: "Station") -> None:
        self.station = station
        station.run("modprobe snd-dummy; udevadm settle")

    @contextmanager
    def in_use(self) -> Generator[None]:
        self.station.run(
            f"systemd-run -q --collect --unit lab-music aplay -q -D {self.device} -f S16_LE -r {_RATE} /dev/zero"
        )
        self.station.wait_for("grep -q RUNNING /proc/asound/Dummy/pcm0p/sub0/status", "the music")
        try:
            yield
        finally:
            self.station.run("systemctl stop lab-music")

    def unplug(self) -> None:
        self.station.run("modprobe -r snd-dummy; udevadm settle")

    def plug(self) -> None:
        self.station.run("modprobe snd-dummy; udevadm settle")


def without_sound(station: "Station") -> None:
    """A terminal that has no sound card at all."""
    station.run(
        "modprobe -r snd-aloop snd-dummy; for card in /sys/bus/pci/drivers/snd_hda_intel/0*; do"
        " echo ${card##*/} > /sys/bus/pci/drivers/snd_hda_intel/unbind; done; udevadm settle"
    )
