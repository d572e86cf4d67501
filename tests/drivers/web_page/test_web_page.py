"""The page against real servers: each row of the README's table, and servers that are hostile."""

import asyncio
import gzip
import ssl
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.catalogue import reason_codes, sentence
from drivers.reading import Condition, DriverError, Reading
from drivers.timesync import kernel_time_sync
from drivers.web_page.driver import WebPage, find

ROOT = Path("/")
PAGE = "<html><head><meta charset=utf-8><title>\n 安太乡 培科村 </title></head><body>培科村益农信息社</body></html>"


def ok(body: str | bytes, *headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else body.encode()
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n{lines}\r\n".encode() + raw


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def looked(page: WebPage) -> Reading:
    try:
        reading = await page.look(ROOT)
    except DriverError as error:
        reading = error.reading
    assert reading.reason.code in reason_codes("web_page")
    for lang in ("zh", "en"):
        assert "{" not in sentence("web_page", reading.reason, lang).says
    assert msgspec.json.encode(reading)
    return reading


async def look_at(serve: Any, script: dict[str, bytes | None], path: str = "/", **options: Any) -> Reading:
    async with serve(script) as port:
        return await looked(WebPage(id="village", address=f"http://127.0.0.1:{port}{path}", **options))


def verdict(reading: Reading) -> tuple[str, str]:
    return reading.condition.value, reading.reason.code


def test_the_driver_uses_every_entry_of_the_catalogue() -> None:
    source = (Path(__file__).parents[3] / "drivers/web_page/driver.py").read_text("utf-8")
    for code in reason_codes("web_page") - reason_codes(""):
        assert f'"{code}"' in source


async def test_without_an_address_nothing_is_fetched_and_the_item_is_attested() -> None:
    assert verdict(await looked(WebPage(id="village"))) == ("unknown", "no_address")
    assert find(ROOT) == []


async def test_a_page_with_the_expected_text_works(serve: Any) -> None:
    reading = await look_at(serve, {"/": ok(PAGE, "Content-Type: text/html; charset=utf-8")}, must_contain="培科村益农")
    assert verdict(reading) == ("working", "page_as_expected")
    raw = reading.evidence[0].raw
    assert raw == {
        "status": 200,
        "bytes": len(PAGE.encode()),
        "whole": True,
        "type": "text/html; charset=utf-8",
        "charset": "utf-8",
        "title": "安太乡 培科村",
        "sha256": raw["sha256"],
    }
    assert len(raw["sha256"]) == 16
    assert reading.measures["status"] == 200
    assert 0 < float(reading.measures["rtt_ms"] or 0) <= float(reading.measures["total_ms"] or 0)


async def test_if_no_text_is_expected_the_title_is_recorded(serve: Any) -> None:
    reading = await look_at(serve, {"/": ok(PAGE)})
    assert verdict(reading) == ("working", "page_answers")
    assert reading.reason.params["title"] == "安太乡 培科村"


async def test_the_request_names_the_host_and_goes_to_no_proxy(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen: list[bytes] = []
    async with serve({"/%E6%9D%91?id=1&q=%20": ok(PAGE)}, seen=seen) as port:
        reading = await looked(WebPage(id="village", address=f"http://127.0.0.1:{port}/村?id=1&q=%20"))
    assert reading.condition is Condition.WORKING
    assert seen[0].split(b"\r\n")[:2] == [b"GET /%E6%9D%91?id=1&q=%20 HTTP/1.1", f"Host: 127.0.0.1:{port}".encode()]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (PAGE.replace("utf-8", "gb2312").encode("gb18030"), "text/html"),
        (PAGE.encode("gb18030"), "text/html; charset=GBK"),
        ("培科村益农信息社".encode("gb18030"), "text/html"),
        (PAGE.encode(), "text/html; charset=iso-8859-1"),  # a server's default, not the page's declaration
        (PAGE.encode("gb18030"), "text/html; charset=utf-8"),  # contradicted by the bytes
        (b"<title>x</title>&#22521;&#31185;&#26449;&#x76ca;\xe5\x86\x9c", "text/html"),
        (PAGE.replace("utf-8", "utf-16le").encode(), "text/html"),  # readable, so its meta is wrong
        (PAGE.encode(), "text/html; charset=utf-16"),  # without a mark
        (PAGE.encode(), "text/html; charset=punycode"),
        ("\ufeff培科村益农".encode("utf-16"), "text/html; charset=utf-16"),
    ],
)
async def test_the_text_is_found_in_any_of_the_usual_charsets(serve: Any, body: bytes, header: str) -> None:
    reading = await look_at(serve, {"/": ok(body, f"Content-Type: {header}")}, must_contain="培科村益农")
    assert verdict(reading) == ("working", "page_as_expected")


async def test_chunks_and_compression_are_undone(serve: Any) -> None:
    raw = PAGE.encode()
    pieces = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(raw[i : i + 7]), raw[i : i + 7]) for i in range(0, len(raw), 7))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\nTrailer: x\r\n\r\n"
    assert (await look_at(serve, {"/": chunked}, must_contain="培科村")).condition is Condition.WORKING
    packed = ok(gzip.compress(raw), "Content-Encoding: gzip")
    assert (await look_at(serve, {"/": packed}, must_contain="培科村")).condition is Condition.WORKING
    until_the_end = b"HTTP/1.0 200 OK\r\n\r\n" + raw
    assert (await look_at(serve, {"/": until_the_end}, must_contain="培科村")).condition is Condition.WORKING


async def test_redirects_on_the_same_host_are_followed_three_times(serve: Any) -> None:
    script = {"/": redirect("/a"), "/a": redirect("b/c?d", 301), "/b/c?d": redirect("../e", 308), "/e": ok(PAGE)}
    reading = await look_at(serve, script, must_contain="培科村")
    assert reading.condition is Condition.WORKING
    assert [evidence.method for evidence in reading.evidence] == ["GET", "asked", "asked", "asked"]
    endless = await look_at(serve, {"/": redirect("/")})
    assert verdict(endless) == ("faulty", "redirects_without_end")


async def test_a_redirect_to_another_host_is_reported_and_not_followed(serve: Any) -> None:
    seen: list[bytes] = []
    async with serve({"/": ok(PAGE)}, seen=seen) as elsewhere:
        reading = await look_at(serve, {"/": redirect(f"http://localhost:{elsewhere}/portal")})
    assert verdict(reading) == ("attention", "redirected_elsewhere")
    assert reading.reason.params["host"] == "localhost"
    assert "欠费" in sentence("web_page", reading.reason).says
    assert seen == []


async def test_a_network_that_requires_a_login_is_reported(serve: Any) -> None:
    answer = b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 5\r\n\r\nlogin"
    assert verdict(await look_at(serve, {"/": answer})) == ("attention", "login_demanded")


@pytest.mark.parametrize("status", [204, 304, 401, 404, 500, 503])
async def test_another_status_than_200_is_a_fault_of_the_page(serve: Any, status: int) -> None:
    answer = f"HTTP/1.1 {status} Some\r\nContent-Length: 0\r\n\r\n".encode()
    reading = await look_at(serve, {"/": answer})
    assert verdict(reading) == ("faulty", "wrong_status")
    assert reading.reason.params == {"status": status}


async def test_an_arrears_page_with_status_200_is_not_the_villages_page(serve: Any) -> None:
    reading = await look_at(serve, {"/": ok("<title>宽带欠费提醒</title>请缴费")}, must_contain="培科村")
    assert verdict(reading) == ("faulty", "text_missing")
    assert reading.reason.params["title"] == "宽带欠费提醒"


async def test_a_text_that_may_stand_in_the_unread_part_is_unknown_not_missing(serve: Any) -> None:
    reading = await look_at(serve, {"/": ok(b"x" * 300_000)}, must_contain="培科村")
    assert verdict(reading) == ("unknown", "page_too_long")
    assert reading.measures["size_bytes"] == 256 * 1024


async def test_empty_and_broken_off_pages_are_faults(serve: Any) -> None:
    assert verdict(await look_at(serve, {"/": ok(" \n ")})) == ("faulty", "page_empty")
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc"
    assert verdict(await look_at(serve, {"/": short})) == ("faulty", "page_cut_short")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nabc"
    assert verdict(await look_at(serve, {"/": chunked})) == ("faulty", "page_cut_short")


HOSTILE = {
    "garbage": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "html without head": b"<html>hello</html>\r\n",
    "status beyond": b"HTTP/1.1 999 What\r\n\r\n",
    "header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "interim without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "length is no number": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
    "chunk size is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
    "chunk longer than declared": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcdef\r\n0\r\n\r\n",
    "tiny chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000,
    "false gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "unknown packing": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
    "redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
    "redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "redirect that smuggles": b"HTTP/1.1 302 Found\r\nLocation: /a\x0bb c\r\n\r\n",
    "cut in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("response", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_server_gives_a_reading(serve: Any, response: bytes) -> None:
    assert verdict(await look_at(serve, {"/": response})) == ("faulty", "bad_answer")


async def test_headers_and_chunks_are_bounded_by_us_not_by_the_servers_patience(serve: Any) -> None:
    for name, error in [
        ("headers without end", "headers without end"),
        ("tiny chunks", "chunks without end"),
        ("interim without end", "interim answers without end"),
        ("header without end", "a line without end"),
    ]:
        reading = await look_at(serve, {"/": HOSTILE[name] + b"<hold>"}, timeout_s=5)
        assert reading.reason.params == {"error": error}


async def test_a_bomb_of_zeros_is_read_up_to_the_limit_only(serve: Any) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    reading = await look_at(serve, {"/": ok(bomb, "Content-Encoding: gzip")})
    assert reading.measures["size_bytes"] == 256 * 1024


async def test_a_huge_chunk_is_read_up_to_the_limit_only(serve: Any) -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n" + b"a" * 400_000
    assert (await look_at(serve, {"/": response})).measures["size_bytes"] == 256 * 1024


@pytest.mark.parametrize("response", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc<hold>"])
async def test_a_server_that_stays_silent_is_unreachable_after_the_time(serve: Any, response: bytes | None) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    reading = await look_at(serve, {"/": response}, timeout_s=0.3)
    assert verdict(reading) == ("unreachable", "no_answer")
    assert loop.time() - before < 5


async def test_nobody_there_is_unreachable(serve: Any) -> None:
    async with serve({}) as port:
        pass
    for host in ("127.0.0.1", "localhost"):
        reading = await looked(WebPage(id="village", address=f"http://{host}:{port}/"))
        assert verdict(reading) == ("unreachable", "no_connection")
    assert verdict(await look_at(serve, {"/": b""})) == ("unreachable", "closed_without_answer")


async def test_a_name_that_does_not_exist_is_unreachable() -> None:
    # RFC 6761: `invalid` never exists; a machine without any resolver answers the same way
    reading = await looked(WebPage(id="village", address="http://village.invalid/", timeout_s=9))
    assert reading.condition is Condition.UNREACHABLE
    assert reading.reason.code in ("name_not_found", "no_answer")


async def test_cancellation_passes(serve: Any) -> None:
    async with serve({"/": None}) as port, asyncio.TaskGroup() as group:
        task = group.create_task(WebPage(id="village", address=f"http://127.0.0.1:{port}/").look(ROOT))
        await asyncio.sleep(0.05)
        task.cancel()
    assert task.cancelled()


Certificate = Callable[..., ssl.SSLContext]


async def look_over_tls(serve: Any, context: ssl.SSLContext) -> Reading:
    async with serve({"/": ok(PAGE)}, context) as port:
        return await looked(WebPage(id="village", address=f"https://localhost:{port}/", must_contain="培科村"))


async def test_a_trusted_certificate_is_fine(
    serve: Any, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = certificate()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert verdict(await look_over_tls(serve, context)) == ("working", "page_as_expected")


@pytest.mark.parametrize(("from_day", "code"), [(-60, "certificate_expired"), (20, "certificate_not_yet_valid")])
async def test_a_certificate_out_of_its_dates_needs_attention(
    serve: Any, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, from_day: int, code: str
) -> None:
    context = certificate(from_day=from_day)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    sync = kernel_time_sync()
    kept = sync is not None and sync.synced  # as the machine of the test is
    expected = code if kept else "certificate_or_clock"
    assert verdict(await look_over_tls(serve, context)) == ("attention", expected)


async def test_a_strangers_certificate_and_another_hosts_need_attention(
    serve: Any, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert verdict(await look_over_tls(serve, certificate())) == ("attention", "certificate_wrong")
    context = certificate("portal.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert verdict(await look_over_tls(serve, context)) == ("attention", "certificate_wrong")


async def test_a_plain_server_behind_https_is_a_fault(serve: Any) -> None:
    async with serve({}) as port:

        async def shout(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(shout, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reading = await looked(WebPage(id="village", address=f"https://127.0.0.1:{port}/"))
        server.close()
        await server.wait_closed()
    assert verdict(reading) == ("faulty", "tls_failed")


@pytest.mark.parametrize(
    "address",
    ["ftp://a.cn/", "www.a.cn", "http://", "http://a b.cn/", "http://a.cn/\r\nX: y", "http://u:p@a.cn/", "http://[::1",
     "http://a.cn:99999/", "http://a.cn:0/", "http://a..cn/", "http://" + "a" * 64 + ".cn/", "javascript:alert(1)"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_with_its_table(address: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "village", "address": address}, WebPage)


@pytest.mark.parametrize(
    "address", ["http://a.cn", "https://村.中国/页?名=值", "http://[::1]:8080/", "http://10.0.0.1/x", ""]
)
def test_an_address_is_accepted(address: str) -> None:
    assert msgspec.convert({"id": "village", "address": address, "timeout_s": 5}, WebPage).address == address


def test_the_sample_names_every_option_with_its_default() -> None:
    table = tomllib.loads((Path(__file__).parents[3] / "drivers/web_page/sample.toml").read_text("utf-8"))["device"][0]
    assert table.pop("class") == "web_page"
    assert set(table) == set(WebPage.__struct_fields__)
    assert msgspec.convert(table, WebPage) == WebPage(id=table["id"])
