"""Addresses of pages: validated once, so that only a plain host and path is ever sent."""

import re
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

_HOST = re.compile(r"[a-z0-9_.:-]{1,253}", re.ASCII)
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"


class Url(NamedTuple):
    """An address, ready for a request."""

    https: bool
    host: str  # ASCII, lower case; a Chinese name in its xn-- form
    port: int
    target: str  # path and query, percent-encoded

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.https else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.https else 'http'}://{self.host_header}{self.target}"


def parse_url(address: str) -> Url:
    """An http or https address. Errors: ValueError, whose text states what is wrong."""
    if not address.isprintable() or " " in address:
        raise ValueError("网址里不能有空格和控制字符 / an address has no blanks and no control characters")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            "网址以 http:// 或 https:// 开头，后面是主机名 / an address begins with http:// or https:// and names a host"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("网址里不能写用户名和密码 / an address holds no user name or password")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("没有这样的主机名 / this host name cannot exist") from None
    if not _HOST.fullmatch(host) or any(not 0 < len(label) <= 63 for label in host.removesuffix(".").split(".")):
        raise ValueError("没有这样的主机名 / this host name cannot exist")
    https = parts.scheme == "https"
    port = parts.port if parts.port is not None else 443 if https else 80
    if port == 0:
        raise ValueError("端口不能是 0 / port 0 cannot be reached")
    query = f"?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else ""
    return Url(https, host, port, quote(parts.path or "/", safe=_PATH_SAFE) + query)


def redirect_target(url: Url, location: str) -> Url:
    """The target of a redirect. Errors: ValueError."""
    return parse_url(urljoin(str(url), location))


def same_site(one: Url, other: Url) -> bool:
    """The same host, with or without `www.`: only redirects to https or another path of it are followed."""
    return one.host.removeprefix("www.") == other.host.removeprefix("www.")
