"""WebOb, imported without the warning that it causes on Python 3.11 and 3.12.

WebOb imports the module ``cgi``, which these versions mark for removal. A program that turns warnings into
errors must be able to import this package, so every other module takes WebOb from here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from webob import Request, Response
    from webob.request import BaseRequest
    from webob.response import EmptyResponse

__all__ = ["BaseRequest", "EmptyResponse", "Request", "Response"]
