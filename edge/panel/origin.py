"""Which requests are let in, decided from their headers alone. Pure: no socket, no settings file.

Two attacks are met here. A page of somebody else can make the operator's browser send us requests (cross-site request
forgery): browsers say where a request comes from, and we believe only our own page. And a foreign name can be pointed
at the station's address after its page was loaded (DNS rebinding): then the browser thinks our answers are that page's
own, so we answer only to names we know.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

SAFE_METHODS = frozenset({"GET", "HEAD"})

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\.?")


def host_of(authority: str) -> str | None:
    """The host of a Host header or of an origin's authority, lower case, without port and brackets; None: malformed."""
    if authority.startswith("["):
        literal, bracket, port = authority[1:].partition("]")
        host = literal.lower()
        if not bracket or not _is_address(host, 6) or not (port == "" or _is_port(port)):
            return None
        return host
    host, colon, port = authority.partition(":")
    host = host.lower()
    if (colon and not _is_port(colon + port)) or not _NAME.fullmatch(host):
        return None
    return host.removesuffix(".")


def host_allowed(authority: str, names: Collection[str]) -> bool:
    """Whether a request to this Host may be answered.

    An IP address is always right: rebinding needs a name. `names` are the others, lower case.
    """
    host = host_of(authority)
    return host is not None and (_is_address(host) or host == "localhost" or host in names)


def refusal(method: str, headers: Mapping[str, str], *, websocket: bool, names: Collection[str]) -> str | None:
    """Why a request is not let in, for people, or None.

    Args:
        method: of HTTP; not looked at for a WebSocket.
        headers: names in lower case.
        websocket: it opens a WebSocket, which browsers allow across origins, so it is checked like a write.
        names: allowed hosts besides addresses and localhost.
    """
    host = headers.get("host", "")
    if not host_allowed(host, names):
        return f"the host {host[:80]!r} is not this station's; call it by its address, or add the name to allowed_hosts"
    if method in SAFE_METHODS and not websocket:
        return None
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return f"the request comes from another site ({site[:20]}); only the station's own page may send it"
    origin = headers.get("origin")
    if origin is None and site is None:
        return (
            "the request does not say where it comes from (no Origin header); only the station's own page may send it"
        )
    if origin is not None:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in ("http", "https") or authority.lower() != host.lower():
            return f"the request comes from {origin[:80]!r}; only the station's own page may send it"
    return None


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return version is None or address.version == version


def _is_port(text: str) -> bool:
    return re.fullmatch(r":[0-9]{1,5}", text) is not None
