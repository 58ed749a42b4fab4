"""``v1registry serve`` on one port. Workers, the main process or all are killed, and started again."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.forwarding import Forwarding
from support.programs import Program, eventually
from support.tag_clients import Crowd

#: How many pushes are accepted between two disturbances: at least, at most.
_PUSHES = (2, 8)


class KilledServer:
    """A server that comes back on its port.

    :param folder: of the server; it is made.
    :param environment: settings, such as ``V1REGISTRY_STORAGE``.
    """

    def __init__(self, folder: Path, workers: int, environment: Mapping[str, str]):
        folder.mkdir()
        self._folder, self._workers, self._environment = folder, workers, environment
        self._program = self._start(0)
        self._port = self._program.port
        self.app = Forwarding(self._program.host)  #: for clients; it stays the same

    def _start(self, port: int) -> Program:
        command = ("v1registry", "serve", "--port", str(port), "--workers", str(self._workers))
        return Program(command, folder=self._folder, environment=self._environment)

    @property
    def log(self) -> str:
        """What the running server wrote."""
        return self._program.log

    def kill_worker(self, source: random.Random) -> None:
        """Kill one worker; the main process starts another one."""
        workers = sorted(self._program.processes())[1:]
        if workers:
            # it may have ended since it was listed
            with suppress(ProcessLookupError):
                os.kill(source.choice(workers), signal.SIGKILL)

    def kill_main(self) -> None:
        """Kill the main process. The workers finish their requests beside those of the next server."""
        before = self._program
        os.kill(min(before.processes()), signal.SIGKILL)
        before.wait()
        self._program = self._start(self._port)
        eventually(lambda: not before.processes(), "the workers of the killed server have ended")
        before.kill()

    def kill_all(self) -> None:
        """Kill all processes, and start again."""
        self._program.kill()
        self._program = self._start(self._port)

    def end(self) -> None:
        self._program.end()


def run_disturbed(
    crowd: Crowd,
    apps: Sequence[Any],
    disturbances: Sequence[tuple[int, Callable[[], None]]],
    *,
    seed: int,
    limit_s: float,
) -> int:
    """Run clients, and do one of some disturbances each time that some more pushes were accepted.

    The disturbances are made in the thread of the caller: programs that it starts may end with their thread.

    :param apps: an application for each client.
    :param disturbances: how often in relation to the others, and what is done.
    :param limit_s: how long the clients may take.
    :return: how many disturbances there were.
    """
    source = random.Random(seed)
    weights, actions = zip(*disturbances, strict=True)
    count = 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(crowd.run, apps, seed=seed, limit_s=limit_s)
        try:
            while crowd.wait_for_pushes(source.randint(*_PUSHES)):
                (action,) = source.choices(actions, weights)
                action()
                count += 1
        finally:
            crowd.end()
        running.result()
    return count
