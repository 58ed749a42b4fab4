"""Answers in the form of the distribution API."""

from __future__ import annotations

from typing import Final

from .. import errors
from ..wsgi.documents import dump_json
from ..wsgi.responses import NOT_CACHED, Response, respond

#: The type of answers without a body: validators of WSGI ask for one, and clients do not look at it.
EMPTY_TYPE: Final = "text/plain; charset=utf-8"

#: The codes for failures that other APIs have too (OCI distribution-spec 1.1, "Error Codes").
_CODES: Final = {
    400: "UNSUPPORTED",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "UNSUPPORTED",
    405: "UNSUPPORTED",
    411: "SIZE_INVALID",
    413: "SIZE_INVALID",
    416: "BLOB_UPLOAD_INVALID",
    429: "TOOMANYREQUESTS",
    501: "UNSUPPORTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    507: "UNAVAILABLE",
}


def v2_error(error: errors.RegistryError, code: str | None = None, message: str | None = None) -> Response:
    """Return the answer to a failure in the form of the distribution API.

    :param code: replaces the code of the failure.
    :param message: replaces the text of the failure.
    """
    known, detail = _CODES.get(error.status, "UNKNOWN"), None
    if isinstance(error, errors.DistributionError):
        known, detail = error.code, error.detail
    elif isinstance(error, (errors.MissingOrHidden, errors.InvalidRepositoryName)):
        # of the models that both APIs use
        known = "NAME_UNKNOWN" if error.status == 404 else "NAME_INVALID"
    text = error.public if message is None else message
    failure = {"code": code or known, "message": text, "detail": detail}
    headers = (*NOT_CACHED, *error.headers.items())
    return respond(error.status, dump_json({"errors": [failure]}), "application/json", headers)
