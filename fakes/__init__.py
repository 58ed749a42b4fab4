"""A registry for tests: the real application over memory, with helpers to fill and inspect it.

With pytest, installing the package is enough: :mod:`v1registry_fakes.plugin` has the fixtures. Without
pytest:

>>> from v1registry_fakes import FakeRegistry
>>> with FakeRegistry() as registry:
...     image = registry.add_image("alice/app:1.0", files={"etc/motd": "hello"})
...     registry.tags("alice/app") == {"1.0": image.id}
True

Importing this package loads nothing, because pytest imports it in every run, even if no test needs a
registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .applications import FakeApplication
    from .clock import FakeClock
    from .connection_cuts import AnswerDelayed, ConnectionCut
    from .engine import FakeContainer, FakeEngine, FakeEngineImage, Run
    from .faults import Fault, Faults
    from .httpx_transports import AsyncRegistryTransport, RegistryTransport
    from .images import FakeImage
    from .layer_builder import Layer
    from .lookup import NotThere
    from .manifests import FakeManifest
    from .options import FakeOptions
    from .patterns import RequestPattern
    from .profiles import ProfileName
    from .pusher import PushRefused
    from .recorded_request import RecordedRequest
    from .recording_proxy import RecordingProxy
    from .registry import FakeRegistry
    from .replayed import ReplayDifference, ReplayedRegistry
    from .request_log import RequestLog
    from .server import LiveServer
    from .session import WSGIAdapter, WSGISession
    from .transcripts import TranscriptInvalid
    from .unittest_case import RegistryTestCase

__all__ = [
    "AnswerDelayed",
    "AsyncRegistryTransport",
    "ConnectionCut",
    "FakeApplication",
    "FakeClock",
    "FakeContainer",
    "FakeEngine",
    "FakeEngineImage",
    "FakeImage",
    "FakeManifest",
    "FakeOptions",
    "FakeRegistry",
    "Fault",
    "Faults",
    "Layer",
    "LiveServer",
    "NotThere",
    "ProfileName",
    "PushRefused",
    "RecordedRequest",
    "RecordingProxy",
    "RegistryTestCase",
    "RegistryTransport",
    "ReplayDifference",
    "ReplayedRegistry",
    "RequestLog",
    "RequestPattern",
    "Run",
    "TranscriptInvalid",
    "WSGIAdapter",
    "WSGISession",
]

_MODULES = {
    "AnswerDelayed": "connection_cuts",
    "ConnectionCut": "connection_cuts",
    "AsyncRegistryTransport": "httpx_transports",
    "FakeApplication": "applications",
    "FakeClock": "clock",
    "FakeContainer": "engine",
    "FakeEngine": "engine",
    "FakeEngineImage": "engine",
    "FakeImage": "images",
    "FakeManifest": "manifests",
    "FakeOptions": "options",
    "FakeRegistry": "registry",
    "Fault": "faults",
    "Faults": "faults",
    "Layer": "layer_builder",
    "LiveServer": "server",
    "NotThere": "lookup",
    "ProfileName": "profiles",
    "PushRefused": "pusher",
    "RecordedRequest": "recorded_request",
    "RecordingProxy": "recording_proxy",
    "ReplayDifference": "replayed",
    "ReplayedRegistry": "replayed",
    "RequestLog": "request_log",
    "RegistryTestCase": "unittest_case",
    "RegistryTransport": "httpx_transports",
    "RequestPattern": "patterns",
    "Run": "engine",
    "TranscriptInvalid": "transcripts",
    "WSGIAdapter": "session",
    "WSGISession": "session",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
