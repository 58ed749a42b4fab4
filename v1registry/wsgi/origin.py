"""How clients reach the application: public URL, proxies, https; and requests of other sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ..errors import BadRequest
from ..names import is_host
from .framework import BaseRequest

#: The values of ``Sec-Fetch-Site`` for requests that no other site caused
#: (https://www.w3.org/TR/fetch-metadata/).
_OWN_SITES: Final = ("same-origin", "none")


class Proxies:
    """The proxies whose ``X-Forwarded-`` headers are trusted.

    :param networks: IP addresses and networks, such as ``10.0.0.0/8``.
    :raises ValueError: one of them is invalid.
    """

    def __init__(self, networks: Iterable[str] = ()):
        self._networks = [ip_network(network) for network in networks]

    def include(self, address: str) -> bool:
        """Tell whether an address is that of a trusted proxy.

        A server that listens on IPv6 shows a proxy's IPv4 address in the form of IPv6.

        >>> Proxies(["10.0.0.0/8"]).include("::ffff:10.0.0.1")
        True
        """
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return any(form in network for network in self._networks for form in (parsed, mapped or parsed))

    def client_address(self, environ: Mapping[str, Any]) -> str:
        """Return the address from which a WSGI request comes, empty if it is unknown.

        Each proxy appends to ``X-Forwarded-For`` the address that it saw. So the client is the last address
        there that is not a trusted proxy. Anything before it may be forged.

        >>> environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "1.2.3.4, 5.6.7.8"}
        >>> Proxies(["10.0.0.0/8"]).client_address(environ)
        '5.6.7.8'
        """
        address = str(environ.get("REMOTE_ADDR", ""))
        if not self._networks:
            return address
        hops = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        while hops and self.include(address):
            address = hops.pop().strip()
        return address


class Origin:
    """How clients reach one application, according to its settings.

    :param public_url: the URL that clients use; empty if it is that of each request.
    """

    def __init__(self, public_url: str = "", proxies: Proxies | None = None):
        self.public_url = public_url.rstrip("/")
        self.proxies = proxies or Proxies()

    def of(self, request: BaseRequest) -> RequestOrigin:
        """Return how the client of one request reaches the application."""
        return RequestOrigin(self, request)


class RequestOrigin:
    """How the client of one request reaches the application, as far as the server can know.

    The setting ``public_url`` has precedence, then the headers of a trusted proxy, then the request itself.
    """

    def __init__(self, origin: Origin, request: BaseRequest):
        self._public_url = origin.public_url
        self._proxies = origin.proxies
        self._request = request

    @property
    def host(self) -> str:
        """``host[:port]`` of the application.

        :raises BadRequest: the request names no valid host.
        """
        if self._public_url:
            return urlsplit(self._public_url).netloc
        forwarded = self._forwarded("X-Forwarded-Host")
        host = self._request.host if forwarded is None else forwarded
        if not is_host(host):
            raise BadRequest(f"Host must be a host name and perhaps a port, not {host[:80]!r}")
        return host

    @property
    def url(self) -> str:
        """The URL of the application, without a final slash.

        :raises BadRequest: the request names no valid host.
        """
        if self._public_url:
            return self._public_url
        forwarded = self._forwarded("X-Forwarded-Proto")
        scheme = self._request.scheme if forwarded is None else forwarded
        return f"{'https' if scheme.lower() == 'https' else 'http'}://{self.host}{self.mount_path}"

    @property
    def is_secure(self) -> bool:
        """Whether the client uses https.

        :raises BadRequest: the request names no valid host.
        """
        return self.url.startswith("https:")

    @property
    def mount_path(self) -> str:
        """The path below which the application is, without a final slash.

        The path of ``public_url`` has precedence, because a proxy may strip it from requests.
        """
        mounted_at = quote(self._request.environ.get("SCRIPT_NAME", "").encode("latin-1"))
        return (urlsplit(self._public_url).path or mounted_at).rstrip("/")

    @property
    def client_address(self) -> str:
        """The IP address of the client, empty if it is unknown."""
        return self._proxies.client_address(self._request.environ)

    @property
    def is_from_other_site(self) -> bool:
        """Whether the browser says that a page of another site sent the request.

        Some browsers send neither header, old ones send ``Origin`` alone. Other clients send neither.
        """
        site = self._request.headers.get("Sec-Fetch-Site")
        if site is not None:
            return site.strip().lower() not in _OWN_SITES
        origin = self._request.headers.get("Origin")
        if origin is None:
            return False
        # the application may be reached by any of these hosts: no other site can make a browser send these
        # headers
        named = [self._request.host, *(self._request.headers.get("X-Forwarded-Host") or "").split(",")]
        urls = [*(f"//{host.strip()}" for host in named), self._public_url]
        return _host_of(origin) not in {_host_of(url) for url in urls} - {""}

    def _forwarded(self, name: str) -> str | None:
        """Return what the nearest proxy says, None if there is no trusted proxy or it says nothing."""
        value = self._request.headers.get(name)
        if not value or not self._proxies.include(self._request.environ.get("REMOTE_ADDR", "")):
            return None
        return value.rpartition(",")[2].strip()


def _host_of(url: str) -> str:
    """Return host and port in lower case without the default ports; empty if the URL has no host."""
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        return ""
    return host.removesuffix(":443").removesuffix(":80")
