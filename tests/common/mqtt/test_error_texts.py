"""Texts of link problems: every code has them, in Chinese for the officer and in English."""

import errno
import socket
import ssl
from typing import get_args

import pytest

from agent.uplink.link import LinkState
from common.mqtt.error_texts import link_codes, link_line, link_sentence
from common.mqtt.errors import LinkProblem, from_connack, from_connect, from_puback
from drivers.catalogue import Lang

ERRORS = {
    "no_such_server": socket.gaierror(-2, "Name or service not known"),
    "server_not_running": ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    "server_unreachable": TimeoutError("timed out"),
    "no_network": OSError(errno.ENETUNREACH, "Network is unreachable"),
    "connection_cut": ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    "tls_failed": ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
    "cannot_connect": OSError("the connection ended at once"),
}


@pytest.mark.parametrize(("code", "error"), ERRORS.items())
def test_what_prevents_a_connection_has_a_code_and_its_original_text(code: str, error: OSError) -> None:
    problem = from_connect(error)
    assert problem.code == code
    assert str(error) in problem.detail


def test_an_invalid_certificate_has_a_code_for_the_kind_of_error() -> None:
    for number, code in ((9, "not_yet_valid"), (10, "expired"), (62, "of_another"), (18, "not_trusted")):
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_code = number
        assert from_connect(error).code == f"certificate_{code}"


def test_every_code_has_texts_in_both_languages() -> None:
    codes = {
        from_connack(code, "", connecting=connecting).code
        for code in range(0x80, 0x100)
        for connecting in (True, False)
    }
    codes |= {from_puback(code, "", "scan").code for code in (0x10, *range(0x80, 0x100))} | set(ERRORS)
    codes |= {"connecting", "closed", "no_answer", "no_acknowledgement", "not_understood", "certificate_unusable"}
    codes |= {"subscription_refused", "twin", "namesake", *(f"certificate_{end}" for end in ("expired", "not_trusted"))}
    assert codes <= link_codes()
    for code in link_codes():
        for lang in get_args(Lang):
            sentence = link_sentence(LinkProblem(code, "D"), lang)
            assert sentence.says
            assert "{" not in sentence.says + sentence.remedy
        chinese = link_sentence(LinkProblem(code, "D"), "zh")
        assert any("一" <= character <= "鿿" for character in chinese.says)
        assert code in ("connecting", "closed") or chinese.remedy, f"{code}: what is the officer to do?"


def test_a_code_of_a_newer_version_is_shown_as_it_is() -> None:
    assert link_sentence(LinkProblem("moon_in_the_way", "full")).says == "moon_in_the_way (full)"


def test_systemds_line_has_both_languages() -> None:
    assert link_line(LinkProblem("server_busy")) == "县中心服务器忙，请求被推迟 / The county's server is busy"


def test_a_state_has_its_problem_and_all_warnings() -> None:
    up = LinkState(True, 1, 0, "")
    assert up.problem is None
    assert up.warnings == ()
    down = LinkState(True, 1, 0, "", "row_not_authorized", "", "scan: Not authorized, 0x87", 2, "a" * 12)
    assert [problem.code for problem in down.warnings] == ["row_not_authorized", "twin", "namesake"]
