"""The servers that recordings are played to: memory and files through WSGI, memory over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from replayer import Recording, application_over
from wire import Transport, WsgiTransport, live_server

from v1registry import FileStorage, MemoryStorage, Storage


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Recording]]:
    """Return the recording of a client as it is played to a target (``memory``, ``files`` or ``socket``).

    A scenario builds on those before it, so each is played once in a session and looked at by many tests.
    """
    made: dict[tuple[str, str], Recording] = {}
    with ExitStack() as until_the_end:

        def transport_to(target: str, client: str) -> Transport:
            if target == "socket":
                started: list[Transport] = []
                application = application_over(MemoryStorage(), lambda: started[0].host)
                started.append(until_the_end.enter_context(live_server(application)))
                return started[0]
            storage: Storage = MemoryStorage()
            if target == "files":
                storage = FileStorage(tmp_path_factory.mktemp(client), durable=False)
            made_transport: WsgiTransport
            made_transport = WsgiTransport(application_over(storage, lambda: made_transport.host))
            return made_transport

        def recording(target: str, client: str) -> Recording:
            if (target, client) not in made:
                made[target, client] = Recording(client, transport_to(target, client))
            return made[target, client]

        yield recording
