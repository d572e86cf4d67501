"""The video device's driver: the camera by a child process, microphone and speaker from ALSA's lists."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.cameras import Node, holders, nodes, resolve
from drivers.child import run_child
from drivers.reading import CannotLook, Condition, Evidence, Found, Reading, Reason, Scalar
from drivers.video.judge import Answer, NodeSeen, deciding, judge
from drivers.video.sound import Sound, sound

_MAX_NODES = 8


class Video(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A camera with microphone and speaker, as a remote video link needs them. `sample.toml` lists the options.

    The camera is opened in a child process that is killed after `budget_s`; no picture and no sound is stored.
    """

    id: str
    device: Annotated[str, Meta(pattern="^(auto|/dev/.+)$", max_length=200)] = "auto"
    microphone: bool = True
    speaker: bool = True
    pictures: bool = True
    budget_s: Annotated[float, Meta(ge=2, le=11)] = 10

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:  # noqa: ARG002 the contract of a driver
        """One look: up to five frames of the first camera that delivers any. Errors: CannotLook."""
        alsa = await sound(root)
        reading = await self._camera(root)
        missing = self._missing(alsa)
        if missing and reading.condition is Condition.WORKING:
            reading = msgspec.structs.replace(
                reading, condition=Condition.ATTENTION, reason=Reason(missing, reading.reason.params)
            )
        return msgspec.structs.replace(
            reading,
            measures=reading.measures | _sound_measures(alsa),
            evidence=(*reading.evidence, Evidence("alsa", "/proc/asound", alsa.raw)),
        )

    def _missing(self, alsa: Sound) -> str | None:
        if self.microphone and not alsa.microphones:
            return "no_microphone"
        return "no_speaker" if self.speaker and not alsa.speakers else None

    async def _camera(self, root: Path) -> Reading:
        there = nodes(root)
        listed = Evidence("sysfs", "/sys/class/video4linux", {node.path: node.name for node in there})
        if self.device != "auto":
            path = resolve(root, self.device)
            if path is None:
                reason = Reason("device_missing", {"device": self.device})
                return Reading(condition=Condition.ABSENT, reason=reason, evidence=(listed,))
            there = [node for node in there if node.path == path] or [Node(path, "", 0, path, None)]
        if not there:
            return Reading(condition=Condition.ABSENT, reason=Reason("no_camera"), evidence=(listed,))
        return await self._try(root, there[:_MAX_NODES], listed)

    async def _try(self, root: Path, there: list[Node], listed: Evidence) -> Reading:
        by_path = {str(root / node.path.lstrip("/")): node for node in there}
        try:
            printed = await run_child(
                "drivers.video.capture", {"nodes": [*by_path], "pictures": self.pictures}, self.budget_s
            )
        except CannotLook as error:
            if error.reading.reason.code != "timed_out":
                raise
            reason = Reason("wedged", {"name": there[0].name or there[0].path, "budget_s": self.budget_s})
            return Reading(condition=Condition.FAULTY, reason=reason, evidence=(listed, *error.reading.evidence))
        answer = msgspec.convert(printed, Answer)
        seen = deciding(answer)
        if seen is None:
            code = "no_camera" if self.device == "auto" else "not_a_camera"
            reason = Reason(code, {} if self.device == "auto" else {"device": self.device})
            return Reading(condition=Condition.ABSENT, reason=reason, evidence=(listed,))
        return _with_evidence(root, seen, by_path[seen.node])


def _with_evidence(root: Path, seen: NodeSeen, node: Node) -> Reading:
    evidence = [Evidence("v4l2 capture", node.path, _shown(seen, node))]
    by = ""
    if seen.busy:
        who, hidden = holders(root, node.path)
        by = ", ".join(dict.fromkeys(holder.process for holder in who))
        raw = {"holders": [f"{holder.process} {holder.pid}" for holder in who], "hidden": hidden}
        evidence.append(Evidence("open files", "/proc/*/fd", raw))
    return msgspec.structs.replace(judge(seen, node.name, by), evidence=tuple(evidence))


def _shown(seen: NodeSeen, node: Node) -> dict[str, Scalar | list[Scalar]]:
    """The deciding values, short."""
    shown: dict[str, Scalar | list[Scalar]] = {"identity": node.identity, "driver": seen.driver, "step": seen.step}
    if seen.errno or seen.timeout:
        shown["error"] = seen.errno or "no frame in time"
    if seen.format:
        shown["format"] = seen.format.fourcc
    if seen.frames:
        shown["sequence"] = [frame.sequence for frame in seen.frames]
        shown["delta"] = [frame.delta for frame in seen.frames[1:]]
    return shown


def _sound_measures(found: Sound) -> dict[str, Scalar]:
    return {
        "microphones": found.microphones,
        "speakers": found.speakers,
        "microphone_in_use": found.microphone_in_use,
        "speaker_in_use": found.speaker_in_use,
    }


def find(root: Path) -> list[Found]:
    """The video devices on this machine, the first node of each. No camera is opened, so codecs may be among them."""
    return [
        Found(
            device_class="video",
            identity=node.identity,
            label=node.name or node.path,
            options={"device": node.link or node.path},
            note=""
            if node.link and "/by-id/" in node.link
            else "接口号可能改变 / the number may change when it is plugged elsewhere",
        )
        for node in nodes(root)
        if node.number == 0
    ]
