"""The session of requests that the client uses: redirects, proxies, credentials and certificates."""

from __future__ import annotations

import io
import os
import re
import ssl
from collections.abc import Callable, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from urllib3.util.ssl_ import create_urllib3_context
except ImportError as exc:
    raise ImportError("the client needs requests: pip install 'v1registry[server]'") from exc

from ..names import is_loopback
from .answers import without_query
from .errors import BadCertificate, ProtocolError

#: The longest body of a redirect that is read, so that the connection can be used again, in bytes.
_REDIRECT_BYTES: Final = 16_384


def check_redirect(url: str, target: str) -> str:
    """Return the absolute URL to which ``url`` redirects.

    :param target: the value of ``Location``.
    :raises ProtocolError: the target is not http or https, or leaves https. Whoever reads the network would
        see what https hides.
    """
    try:
        absolute = urljoin(url, target)
        before, after = urlsplit(url).scheme, urlsplit(absolute).scheme
        _ = urlsplit(absolute).port  # raises if it is none
    except ValueError as exc:
        shown = f"{without_query(url)} redirects to {without_query(target)}"
        raise ProtocolError(f"{shown}, which is not a URL") from exc
    shown = f"{without_query(url)} redirects to {without_query(absolute)}"
    if after not in ("http", "https"):
        raise ProtocolError(f"{shown}, which is not a URL of http or https")
    if before == "https" and after == "http":
        raise ProtocolError(f"{shown}: refused, because plain http is never used after https")
    return absolute


class HttpSession(requests.Session):
    """A session that uses proxies and certificates of the environment, but no netrc.

    :param user_agent: the header ``User-Agent``.
    :param pool_size: the most connections to a host that are kept open.
    :param check_url: called with each URL before it is asked, those of redirects too; raises to refuse it.
    :param keeps_cookies: False to ignore all cookies, of which a registry may set any number.
    """

    def __init__(
        self,
        user_agent: str,
        pool_size: int,
        check_url: Callable[[str], object] = lambda url: None,
        *,
        keeps_cookies: bool = True,
    ):
        super().__init__()
        if not keeps_cookies:
            self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._check_url = check_url
        self.has_answer_of_https = False  #: an answer came over https, perhaps a redirect
        # Checksums and lengths are those of the bytes without content encoding.
        self.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
        self._pool_size = pool_size
        for prefix in ("http://", "https://"):
            self.mount(prefix, HTTPAdapter(pool_maxsize=pool_size))

    def use_certificates(
        self,
        host: str,
        *,
        authorities: Sequence[str],
        certificate: str | tuple[str, str] | None,
        is_verified: bool,
    ) -> None:
        """Use certificates for one host only.

        :param authorities: paths of PEM files to trust besides the others.
        :param certificate: the path of a client certificate with its key, or a pair of paths.
        :param is_verified: the certificate of the host is verified.
        :raises BadCertificate: a file is unreadable, or not a certificate, or the key is another one's.
        """
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if is_verified else ssl.CERT_NONE)
        path = ""
        try:
            for path in authorities:
                context.load_verify_locations(path)
            if certificate is not None:
                pair = (certificate,) if isinstance(certificate, str) else certificate
                path = " with ".join(pair)
                context.load_cert_chain(*pair)
        except OSError as exc:  # an SSLError is one too
            raise BadCertificate(
                f"{path} must be readable PEM, with the key of the certificate: {exc.strerror or exc}"
            ) from exc
        self.mount(f"https://{host}/", _HostAdapter(context, pool_maxsize=self._pool_size))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request with the headers and cookies of the session.

        Parameters, hooks and credentials of a session are not used here. To merge them would take as long as
        the rest.
        """
        cookies = requests.cookies.RequestsCookieJar()
        if len(self.cookies):
            cookies.update(self.cookies)
        headers = requests.structures.CaseInsensitiveDict(self.headers)
        headers.update(request.headers)
        prepared = requests.PreparedRequest()
        prepared.prepare(
            method=(request.method or "").upper(),
            url=request.url,
            headers=headers,
            data=request.data,
            auth=request.auth,
            cookies=cookies,
        )
        return prepared

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request. requests calls this for each redirect too."""
        self._check_url(request.url or "")
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the value of ``Location`` of a redirect, None for other answers.

        :raises ProtocolError: see :func:`check_redirect`.
        """
        # requests calls this for each answer
        self.has_answer_of_https |= resp.url.startswith("https:")
        target: str | None = super().get_redirect_target(resp)
        if target is not None:
            try:
                check_redirect(resp.url, target)
            except ProtocolError:
                resp.close()
                raise
            _forget_long_body(resp)
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep ``Authorization`` on redirects to the same host only, and never read a netrc."""
        old, new = response.request.url or "", prepared_request.url or ""
        if "Authorization" in prepared_request.headers and self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            del prepared_request.headers["Authorization"]

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Use no proxy for this machine, as engines do."""
        if not is_loopback(str(url).split("/")[2]):
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        # to read the proxies of the environment takes a fifth of the time of a small pull
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if bundle and verify in (True, None):
            verify = bundle
        return {
            "proxies": {},
            "stream": self.stream if stream is None else stream,
            "verify": self.verify if verify is None else verify,
            "cert": self.cert if cert is None else cert,
        }


def _forget_long_body(response: requests.Response) -> None:
    """Close a redirect whose body is long, compressed, or of unknown length: requests would read all of it
    into memory.
    """
    length = response.headers.get("Content-Length", "")
    is_short = re.fullmatch(r"[0-9]{1,5}", length) and int(length) <= _REDIRECT_BYTES
    if not is_short or "Content-Encoding" in response.headers:
        response.close()
        response.raw = urllib3.HTTPResponse(io.BytesIO(), preload_content=False)


class _HostAdapter(HTTPAdapter):
    """Connections that use the certificates of a context."""

    def __init__(self, context: ssl.SSLContext, *, pool_maxsize: int):
        self._context = context
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pool of connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Return the pool of connections through a proxy."""
        return super().proxy_manager_for(*args, ssl_context=self._context, **options)


class AuthorizationHeader(requests.auth.AuthBase):
    """Sets the header, or none. Without it requests would read the user's netrc."""

    def __init__(self, value: str | None):
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header of a request."""
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request
