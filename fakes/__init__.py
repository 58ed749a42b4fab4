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
    from .engine import FakeContainer, FakeEngine, FakeEngineImage, Run
    from .faults.connection_cuts import AnswerDelayed, ConnectionCut
    from .faults.faults import Fault, Faults
    from .httpx_transports import AsyncRegistryTransport, RegistryTransport
    from .images import FakeImage
    from .lookup import NotThere
    from .manifests import FakeManifest
    from .options import FakeOptions
    from .profiles import ProfileName
    from .pushing.layer_builder import Layer
    from .pushing.pusher import PushRefused
    from .recording.patterns import RequestPattern
    from .recording.recorded_request import RecordedRequest
    from .recording.request_log import RequestLog
    from .registry import FakeRegistry
    from .server import LiveServer
    from .session import WSGIAdapter, WSGISession
    from .transcripts.recording_proxy import RecordingProxy
    from .transcripts.replayed import ReplayDifference, ReplayedRegistry
    from .transcripts.transcripts import TranscriptInvalid
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
    "AnswerDelayed": "faults.connection_cuts",
    "ConnectionCut": "faults.connection_cuts",
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
    "Fault": "faults.faults",
    "Faults": "faults.faults",
    "Layer": "pushing.layer_builder",
    "LiveServer": "server",
    "NotThere": "lookup",
    "ProfileName": "profiles",
    "PushRefused": "pushing.pusher",
    "RecordedRequest": "recording.recorded_request",
    "RecordingProxy": "transcripts.recording_proxy",
    "ReplayDifference": "transcripts.replayed",
    "ReplayedRegistry": "transcripts.replayed",
    "RequestLog": "recording.request_log",
    "RegistryTestCase": "unittest_case",
    "RegistryTransport": "httpx_transports",
    "RequestPattern": "recording.patterns",
    "Run": "engine",
    "TranscriptInvalid": "transcripts.transcripts",
    "WSGIAdapter": "session",
    "WSGISession": "session",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
