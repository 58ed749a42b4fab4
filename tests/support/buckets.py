"""Buckets and containers, made by requests signed by hand: obstore makes none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.request
from collections.abc import Mapping
from email.utils import formatdate
from urllib.parse import urlsplit

_TIMEOUT_S = 60.0


def make_bucket(endpoint: str, environment: Mapping[str, str], name: str) -> None:
    """Make a bucket of S3, or a container of Azure if the environment names an account of Azure."""
    if "AZURE_STORAGE_ACCOUNT_NAME" in environment:
        _ask_container("PUT", endpoint, environment, name)
    else:
        ask_s3("PUT", endpoint, environment, name)


def remove_container(endpoint: str, environment: Mapping[str, str], name: str) -> None:
    """Remove a container of Azure with all that is in it."""
    _ask_container("DELETE", endpoint, environment, name)


def ask_s3(
    method: str, endpoint: str, environment: Mapping[str, str], resource: str, body: bytes = b""
) -> bytes:
    """Return the answer of a store of S3 to a request that only its administrators make.

    :param resource: such as ``BUCKET?lifecycle``.
    """
    # signature version 2: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
    date = formatdate(usegmt=True)
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
    kind = "application/xml" if body else ""
    text = f"{method}\n{md5}\n{kind}\n{date}\n/{resource}"
    signed = _signed(environment["AWS_SECRET_ACCESS_KEY"].encode(), text, "sha1")
    headers = {"Date": date, "Authorization": f"AWS {environment['AWS_ACCESS_KEY_ID']}:{signed}"}
    if body:
        headers |= {"Content-MD5": md5, "Content-Type": kind}
    return _ask(method, f"{endpoint}/{resource}", headers, body)


def _ask_container(method: str, endpoint: str, environment: Mapping[str, str], name: str) -> None:
    # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    account = environment["AZURE_STORAGE_ACCOUNT_NAME"]
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
    resource = f"/{account}{urlsplit(endpoint).path}/{name}\nrestype:container"
    text = f"{method}{chr(10) * 12}{lines}{resource}"
    signed = _signed(base64.b64decode(environment["AZURE_STORAGE_ACCOUNT_KEY"]), text, "sha256")
    headers["Authorization"] = f"SharedKey {account}:{signed}"
    _ask(method, f"{endpoint}/{name}?restype=container", headers)


def _signed(key: bytes, text: str, digest: str) -> str:
    return base64.b64encode(hmac.new(key, text.encode(), getattr(hashlib, digest)).digest()).decode()


def _ask(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    request = urllib.request.Request(url, data=body or None, method=method, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        read: bytes = answer.read()
    return read
