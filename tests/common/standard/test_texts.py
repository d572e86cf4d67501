"""Texts of verdicts."""

import pytest
from support.judged import MEASURED_ITEMS, RULES, B, Z, attest, of, seen, waive

from common.messages import Item
from common.standard.rules import WAIVERS, Rules
from common.standard.texts import because_codes, item_name, item_sentence, verdict_name
from common.standard.verdicts import (
    DOUBTFUL_SIZE,
    PAGE_NOT_SET,
    PROVES_NOTHING,
    SLOWER_THAN_SOLD,
    SWITCHED_OFF,
    WITHOUT_SOUND,
    verdicts,
)
from drivers.catalogue import reason_codes
from drivers.reading import Condition


def test_a_text_contains_the_devices_own_reason_and_remedy():
    reading = seen("unknown", "no_permission", {"path": "/dev/video0"})
    words = item_sentence(of("video", reading))
    assert words.says == "监测程序没有权限读取该设备（暂不能检测）"
    assert (words.remedy, words.who) == ("请运营服务商检查 udev 规则与用户组", "operator")
    assert item_sentence(of("video", reading), "en").says == "Could not be looked at: No permission to read /dev/video0"


def test_the_text_of_a_refused_camera_is_the_cameras():
    readings = {"scan_gun": [("g", seen("absent"))], "video": [("c", seen("unknown", "no_permission", {"path": "/p"}))]}
    says = item_sentence(of("scan_gun", readings, waivers=[waive("scan_gun")])).says
    assert says == (
        "韦某某于 2026-03-02 登记智能终端能视频通话，但没有检测到可用的摄像头，不能免配：监测程序没有权限读取该设备"
    )


@pytest.mark.parametrize(
    "pair",
    sorted(
        SWITCHED_OFF | PROVES_NOTHING | WITHOUT_SOUND | {SLOWER_THAN_SOLD, DOUBTFUL_SIZE, ("web_page", PAGE_NOT_SET)}
    ),
)
def test_every_reason_that_the_standard_knows_is_one_of_the_drivers(pair):
    device_class, code = pair
    assert code in reason_codes(device_class)


def test_a_code_of_a_newer_version_is_shown_as_it_is():
    assert item_sentence(Item(item="drone", verdict="met", because="flies")).says == "flies"
    assert (item_name("drone"), verdict_name("perhaps")) == ("drone", "perhaps")
    assert (item_name("video", "en"), verdict_name("not_met", "zh")) == ("video device", "不达标")


def test_every_code_has_a_text_and_every_text_a_code():
    given_codes = set()
    for condition in Condition:
        for opening in (True, False, None):
            for item in MEASURED_ITEMS:
                for measures in (
                    {"area_m2": 2.0, "line_mbps": 9.0, "can_copy": True},
                    {"area_m2": 0.1, "line_mbps": 1.0, "can_copy": False},
                    {"can_print": False},
                    {},
                ):
                    for claimed in ((), [waive(i) for i in WAIVERS]):
                        for rules in (RULES, Rules(waive_scan_gun_by_video=False)):
                            reading = {c: [("d", seen(condition, **measures))] for c in MEASURED_ITEMS}
                            given_codes.add(of(item, reading, waivers=claimed, rules=rules, opening=opening).because)
    given_codes |= {i.because for i in verdicts(Z, {}, [attest("plate")], (), RULES, True)}
    given_codes |= {i.because for i in verdicts(B, {}, (), (), RULES, True)}
    given_codes.add(of("video", seen("attention", "no_speaker")).because)
    given_codes.add(of("web_page", seen("attention", "login_demanded")).because)
    given_codes.add(of("led_screen", seen("working", "connected_check_size", area_m2=1.44)).because)
    given_codes.add(of("led_screen", seen("working", area_m2=1.0, size_from="bytes_cm")).because)
    assert given_codes == because_codes()
