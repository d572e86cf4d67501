"""From the child process's answer to a reading: recorded answers, the whole reading compared."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.catalogue import reason_codes, sentence
from drivers.reading import Condition, Reason
from drivers.video.judge import Answer, FrameSeen, NodeSeen, deciding, judge

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_recorded_answer_gives_the_expected_reading(case: str) -> None:
    """`vivid_*` were recorded from the kernel's test camera, `made_*` written by hand."""
    seen = deciding(msgspec.json.decode((CASES / case / "answer.json").read_bytes(), type=Answer))
    got: dict[str, Any] = (
        {"node": None} if seen is None else {"node": seen.node, **json.loads(msgspec.json.encode(judge(seen)))}
    )
    got.pop("evidence", None)  # the driver adds it
    expected = json.loads((CASES / case / "expected.json").read_text("utf-8"))
    assert got == expected


def test_a_camera_in_a_conference_is_in_use_and_never_a_fault() -> None:
    for step in ("open", "format", "stream"):
        seen = NodeSeen(node="/dev/video0", step=step, camera=None if step == "open" else True, errno="EBUSY")
        assert judge(seen).condition is Condition.IN_USE
        assert judge(seen, by="tencent-meet").reason.code == "camera_in_use"


def test_four_still_frames_of_one_sequence_number_are_no_fresh_picture() -> None:
    def of(numbers: tuple[int, ...]) -> Condition:
        frames = tuple(FrameSeen(bytes=9, sequence=n, mean=90.0, sigma=40.0, same=True, delta=0.0) for n in numbers)
        return judge(NodeSeen(node="n", step="done", camera=True, frames=frames)).condition

    assert of((1, 2, 3, 4)) is Condition.ATTENTION
    assert of((1, 1, 1, 1)) is Condition.FAULTY


def test_one_changing_frame_is_enough_to_be_not_frozen() -> None:
    frames = tuple(FrameSeen(bytes=9, sequence=n, mean=90.0, sigma=40.0, same=n != 2) for n in range(5))
    assert judge(NodeSeen(node="n", step="done", camera=True, frames=frames)).condition is Condition.WORKING


_frames = st.builds(
    FrameSeen,
    bytes=st.integers(0, 10**7),
    sequence=st.none() | st.integers(0, 2**32 - 1),
    time_us=st.integers(-(2**63), 2**63),
    damaged=st.booleans(),
    mean=st.none() | st.floats(0, 255),
    sigma=st.none() | st.floats(0, 128),
    delta=st.none() | st.floats(0, 255),
    same=st.none() | st.booleans(),
)


@given(
    st.lists(_frames, max_size=6),
    st.none() | st.sampled_from(["EBUSY", "EIO", "ENOSPC", "EACCES", "EXYZ"]),
    st.booleans(),
)
def test_any_frames_make_a_reading(frames: list[FrameSeen], errno: str | None, timeout: bool) -> None:
    seen = NodeSeen(node="n", step="frames", camera=True, errno=errno, timeout=timeout, frames=tuple(frames))
    reading = judge(seen)
    assert reading.reason.code in reason_codes("video")
    msgspec.json.encode(reading)


def test_every_reason_has_its_sentence_in_both_languages() -> None:
    own = {
        "picture",
        "camera_in_use",
        "camera_busy",
        "black",
        "covered",
        "frozen",
        "damaged_frames",
        "no_frames",
        "wedged",
    }
    own |= {
        "camera_gone",
        "no_bandwidth",
        "io_error",
        "refused",
        "no_camera",
        "device_missing",
        "not_a_camera",
        "no_node",
    }
    own |= {"not_tried", "multiplanar", "no_microphone", "no_speaker"}
    assert own == reason_codes("video") - reason_codes("")
    for code in own:
        assert sentence("video", Reason(code), "zh").says != sentence("video", Reason(code), "en").says
