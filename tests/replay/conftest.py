"""Fixtures: recordings replayed against memory and files through WSGI, and memory over a socket."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.checklist_images import IMAGES
from support.replayer import Recording, application_over
from support.small_engine import SmallEngine
from support.stand_in import registry_with_accounts
from support.transcripts import index_scenarios, v2_mode_of
from support.wire import Transport, WsgiTransport, live_server

from v1registry import FileStorage, MemoryStorage, Registry, Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


#: Makes the application over a storage. The second argument returns its host once it is served.
MakeApplication = Callable[[Storage, Callable[[], str]], "WSGIApplication"]


def _transport(
    target: str, make: MakeApplication, folder: Callable[[], Path], until_the_end: ExitStack
) -> Transport:
    """Return the transport to a new registry of a target (``memory``, ``files`` or ``socket``)."""
    if target == "socket":
        started: list[Transport] = []
        application = make(MemoryStorage(), lambda: started[0].host)
        started.append(until_the_end.enter_context(live_server(application)))
        return started[0]
    storage: Storage = FileStorage(folder(), durable=False) if target == "files" else MemoryStorage()
    made_transport: WsgiTransport
    made_transport = WsgiTransport(make(storage, lambda: made_transport.host))
    return made_transport


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Recording]]:
    """Return the recording of a client, replayed against a target.

    A scenario builds on those before it, so each is played once in a session and looked at by many tests.
    """
    with ExitStack() as until_the_end:

        @functools.cache
        def recording(target: str, client: str) -> Recording:
            folder = functools.partial(tmp_path_factory.mktemp, client)
            make = functools.partial(application_over, v2=v2_mode_of(client))
            return Recording(client, _transport(target, make, folder, until_the_end))

        yield recording


@pytest.fixture(scope="session")
def index_recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Recording]]:
    """Return the recording of a client with an index, replayed against a target with the same accounts."""
    with ExitStack() as until_the_end:

        @functools.cache
        def recording(target: str, client: str) -> Recording:
            folder = functools.partial(tmp_path_factory.mktemp, f"{client}-index")
            transport = _transport(
                target,
                lambda storage, _: registry_with_accounts(storage, v2_mode_of(client)),
                folder,
                until_the_end,
            )
            return Recording(client, transport, index_scenarios(client))

        yield recording


@pytest.fixture
def transport() -> WsgiTransport:
    """A transport to an empty server without accounts."""
    return WsgiTransport(Registry(storage=MemoryStorage()))


@pytest.fixture
def filled(transport: WsgiTransport) -> WsgiTransport:
    """A transport to a server with alice/app:latest."""
    SmallEngine(transport, "1.9").push("alice/app", IMAGES)
    return transport
