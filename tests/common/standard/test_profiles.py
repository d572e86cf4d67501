"""What each type of station needs of annex 2."""

from support.judged import RULES, B, J, Z, of, seen, verdict

from common.standard.annex2 import ANNEX_2
from common.standard.rules import WAIVERS, Profiles, Rules
from common.standard.verdicts import verdicts


def test_annex_2_has_12_items_in_the_documents_order():
    assert [line.number for line in ANNEX_2] == list(range(1, 13))
    assert [line.code for line in ANNEX_2 if line.established == "attested"] == [
        "signboard",
        "plate",
        "information_wall",
        "telephone",
        "shelves",
    ]
    assert WAIVERS == {"led_screen": "promotion", "video": "video_calls", "scan_gun": "video_calls"}


def test_a_standard_station_needs_all_12_and_the_other_types_items_1_3_and_4():
    for profile in (Z, J):
        items = verdicts(profile, {}, (), (), RULES, True)
        assert [ANNEX_2[n].number for n, i in enumerate(items) if i.verdict != "not_required"] == [1, 3, 4]
    assert {i.verdict for i in verdicts(B, {}, (), (), RULES, True)} == {"unproven"}


def test_a_county_can_ask_more_of_a_type():
    rules = Rules(profiles=Profiles(J=("broadband",)))
    assert verdict("broadband", rules=rules, profile=J) == ("unproven", "no_device_configured")
    assert of("signboard", rules=rules, profile=J).verdict == "not_required"


def test_a_device_beyond_the_profile_is_never_counted_against_the_station():
    assert verdict("printer", seen("faulty", "paper_out"), profile=J) == ("not_required", "not_in_profile")
