"""Runs the functions of a test that act as containers and commands, each in a thread."""

from __future__ import annotations

from threading import Lock, Thread
from typing import TYPE_CHECKING

from .behaviours import check_exit_code

if TYPE_CHECKING:
    from .behaviours import Program, Run
    from .processes import Process

#: How long the end of an engine waits for functions that ignore their stop, in seconds.
_PATIENCE_S = 10.0


class Programs:
    """The running functions of an engine. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[Thread, tuple[Process, str]] = {}
        #: the failures of functions, each with its run
        self.failures: list[tuple[str, Exception]] = []

    def start(self, program: Program, run: Run, process: Process) -> None:
        """Call a function. Its result ends the process; an exception ends it with 1, and is kept."""

        def call() -> None:
            try:
                result = program(run)
                process.end(0 if result is None else check_exit_code(result))
            except Exception as error:  # noqa: BLE001  check() reports it
                self.failures.append((repr(run), error))
                process.write("stderr", f"{type(error).__name__}: {error}\n".encode())
                process.end(1)
            finally:
                with self._lock:
                    self._running.pop(thread, None)

        thread = Thread(target=call, name="v1registry fake container", daemon=True)
        with self._lock:
            self._running[thread] = process, repr(run)
        thread.start()

    def close(self) -> None:
        """Stop all functions, and wait for them. Those that do not end are failures."""
        with self._lock:
            running = dict(self._running)
        for process, _ in running.values():
            process.end(137)
        for thread, (_, name) in running.items():
            thread.join(_PATIENCE_S)
            if thread.is_alive():
                text = f"the program must end when its run is stopped, but still runs after {_PATIENCE_S:g} s"
                self.failures.append((name, TimeoutError(text)))
