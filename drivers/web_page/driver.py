"""The village's page (item 12 of the standard): fetched if its address is configured, else attested.

    address -> GET, up to 3 redirects on the same host -> status -> complete? -> expected text? -> reading

A captive portal or a line in arrears shows a page of another host instead: this is not a fault of the village's page, and
does not prove that it works either: `attention`, with its own reason.
"""

import asyncio
import hashlib
from pathlib import Path
from socket import gaierror
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.reading import CannotLook, Condition, DriverError, Evidence, Found, Reading, Reason, Scalar
from drivers.timesync import kernel_time_sync
from drivers.web_page.fetch import Answer, BadAnswerError, BadCertificateError, NoAnswerError, TlsFailedError, get
from drivers.web_page.page import contains, text_of, title_of
from drivers.web_page.url import Url, parse_url, redirect_target, same_site

_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_CERTIFICATE_DATES = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


class WebPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page as configured."""

    id: str
    address: Annotated[str, Meta(max_length=1000)] = ""  # "": nothing to fetch, the item is attested
    must_contain: Annotated[str, Meta(max_length=200)] = ""  # text that the page must contain; "": any page is accepted
    timeout_s: Annotated[float, Meta(gt=0, le=9)] = 8.0  # for everything together, including redirects

    def __post_init__(self) -> None:
        if self.address:
            parse_url(self.address)

    async def look(self, root: Path, previous: Reading | None = None) -> Reading:  # noqa: ARG002
        """Fetch the page once. Errors: only DriverError, with the reading of what went wrong, whatever the server sends."""
        if not self.address:
            raise CannotLook("no_address")
        trail: list[str] = []
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self.timeout_s):
                url, answer = await _follow_redirects(parse_url(self.address), trail)
        except TimeoutError:
            raise _failed(Condition.UNREACHABLE, "no_answer", trail, timeout_s=self.timeout_s) from None
        except gaierror as error:
            raise _failed(Condition.UNREACHABLE, "name_not_found", trail, error=str(error)) from None
        except OSError as error:
            raise _failed(Condition.UNREACHABLE, "no_connection", trail, error=_short(error)) from None
        except NoAnswerError:
            raise _failed(Condition.UNREACHABLE, "closed_without_answer", trail) from None
        except BadAnswerError as error:
            raise _failed(Condition.FAULTY, "bad_answer", trail, error=str(error)) from None
        except TlsFailedError as error:
            raise _failed(Condition.FAULTY, "tls_failed", trail, error=str(error)) from None
        except BadCertificateError as error:
            raise _certificate(error, trail) from None
        return reading_of(url, answer, self.must_contain, trail, round((loop.time() - started) * 1000, 1))


def find(root: Path) -> list[Found]:  # noqa: ARG001
    """Nothing: no machine knows the address of its village's page."""
    return []


async def _follow_redirects(url: Url, trail: list[str]) -> tuple[Url, Answer]:
    """The answer after up to three redirects on the same host; every requested address is added to `trail`."""
    for _ in range(_MAX_REDIRECTS + 1):
        trail.append(str(url))
        answer = await get(url)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return url, answer
        try:
            target = redirect_target(url, location)
        except ValueError:
            raise BadAnswerError("a redirect to no address") from None
        if not same_site(url, target):
            trail.append(str(target)[:300])
            raise _failed(Condition.ATTENTION, "redirected_elsewhere", trail, status=answer.status, host=target.host)
        url = target
    raise _failed(Condition.FAULTY, "redirects_without_end", trail, redirects=_MAX_REDIRECTS)


def reading_of(url: Url, answer: Answer, must_contain: str, trail: list[str], total_ms: float) -> Reading:
    """The reading of an answer that arrived."""
    text, charset = text_of(answer.body, answer.headers.get("content-type", ""), not (answer.long or answer.cut))
    title = title_of(text)
    raw = {
        "status": answer.status,
        "bytes": len(answer.body),
        "whole": not (answer.long or answer.cut),
        "type": answer.headers.get("content-type", "")[:80],
        "charset": charset,
        "title": title,
        "sha256": hashlib.sha256(answer.body).hexdigest()[:16],
    }
    condition, reason = _condition(answer, text, title, must_contain)
    evidence = (Evidence("GET", str(url), raw), *_trail(trail[:-1]))
    measures: dict[str, Scalar] = {
        "status": answer.status,
        "size_bytes": len(answer.body),
        "rtt_ms": answer.rtt_ms,
        "total_ms": total_ms,
    }
    return Reading(condition=condition, reason=reason, measures=measures, evidence=evidence)


def _condition(answer: Answer, text: str, title: str | None, must_contain: str) -> tuple[Condition, Reason]:
    if answer.status == 511:  # RFC 6585 section 6
        return Condition.ATTENTION, Reason("login_demanded")
    if answer.status != 200:
        return Condition.FAULTY, Reason("wrong_status", {"status": answer.status})
    if answer.cut:
        return Condition.FAULTY, Reason("page_cut_short", {"bytes": len(answer.body)})
    if not text.strip():
        return Condition.FAULTY, Reason("page_empty")
    if not must_contain:
        return Condition.WORKING, Reason("page_answers", {"title": title or "-"})
    if contains(text, must_contain):
        return Condition.WORKING, Reason("page_as_expected", {"expected": must_contain})
    if answer.long:  # the text may be in the part that was not read
        return Condition.UNKNOWN, Reason("page_too_long", {"expected": must_contain, "bytes": len(answer.body)})
    return Condition.FAULTY, Reason("text_missing", {"expected": must_contain, "title": title or "-"})


def _certificate(error: BadCertificateError, trail: list[str]) -> DriverError:
    """It answers, but its identity is not proved; with an unsynchronised clock the dates may be the terminal's own fault."""
    sync = kernel_time_sync()
    kept = sync is not None and sync.synced
    clock = Evidence("adjtimex", raw={"synced": kept})
    if error.code not in _CERTIFICATE_DATES:
        return _failed(Condition.ATTENTION, "certificate_wrong", trail, error=str(error))
    if not kept:
        return _failed(Condition.ATTENTION, "certificate_or_clock", trail, clock, error=str(error))
    code = "certificate_expired" if error.code == 10 else "certificate_not_yet_valid"
    return _failed(Condition.ATTENTION, code, trail, clock, error=str(error))


def _failed(
    condition: Condition, code: str, trail: list[str], *evidence: Evidence, **params: str | int | float
) -> DriverError:
    return DriverError(condition, code, *_trail(trail), *evidence, **params)


def _trail(trail: list[str]) -> tuple[Evidence, ...]:
    return tuple(Evidence("asked", address) for address in trail)


def _short(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__)[:120]
