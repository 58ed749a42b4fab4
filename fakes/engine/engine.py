"""FakeEngine: an engine for a test, in process and on a port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from ..clock import FakeClock
from ..recording.expectations import RequestExpectations
from ..recording.recorder import Recorder
from ..recording.request_log import RequestLog
from ..server import REACHED_BY
from .api import EngineApplication
from .behaviours import Behaviours, LogLine, Program, rule
from .faulty import EngineFaultGate, EngineFaults
from .filling import EngineContents
from .registries import Registries
from .state import EngineState
from .versions import NEWEST, RELEASES

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..listener import Listener


#: The maximum of requests in a description.
_DESCRIBED: Final = 30


class FakeEngine(EngineContents, EngineFaults, RequestExpectations):
    """A docker engine for one test, empty at first. Safe for threads.

    Clients reach it over TCP at :attr:`url`, over a Unix socket at :attr:`socket_url`, or in process by
    :attr:`app`. It is a context manager: leaving it stops the ports, and calls :meth:`check` unless the block
    failed.

    :param version: the release that the engine is, such as ``20.10.24``; see :data:`RELEASES`.
    :param tls: whether the port uses TLS; :attr:`environ` then names the certificates.
    :param api: ``v1`` makes the engine one of the time before ``/v2/``: it speaks v1 with registries.
    :param mirrors: host in names of images -> URL of the registry that is asked in its place, such as
        ``{"docker.io": v1registry.url}``.
    :param ca_file: a certificate of registries to trust, besides the system's.
    :param address: the IP address or name to listen on. Everybody who reaches it can use the engine.
    :param port: the port to listen on; 0 lets the system choose one.

    >>> with FakeEngine() as engine:
    ...     engine.url.startswith("tcp://127.0.0.1:")
    True
    """

    def __init__(
        self,
        *,
        version: str = NEWEST,
        tls: bool = False,
        api: Literal["auto", "v1"] = "auto",
        mirrors: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ):
        if version not in RELEASES:
            raise ValueError(f"version must be one of {', '.join(RELEASES)}, not {version!r}")
        self._release = RELEASES[version]
        self._tls = tls
        self._address = address, port
        self._registries = Registries(self._release, mirrors or {}, ca_file, api)
        self.clock = FakeClock()
        self._behaviours = Behaviours()
        self._application = EngineApplication(self._make_state())
        self._gate = EngineFaultGate(self._application)
        self._recorder = Recorder(self._application, self._gate, clock=self.clock)
        self._lock = Lock()
        self._listeners: dict[str, Listener] = {}
        self._folder: TemporaryDirectory[str] | None = None
        self._is_open = True

    def _make_state(self) -> EngineState:
        return EngineState(self._release, self.clock, self._registries, self._behaviours)

    @property
    def _state(self) -> EngineState:
        return self._application.state

    # -- access for clients

    @property
    def app(self) -> WSGIApplication:
        """The WSGI application. It records each request in :attr:`requests`."""
        return self._recorder

    @property
    def url(self) -> str:
        """``tcp://127.0.0.1:PORT``, as in ``DOCKER_HOST``. The port is started at the first use.

        An engine that listens on all addresses is shown with 127.0.0.1 or [::1].

        :raises RuntimeError: the engine is closed.
        :raises OSError: the port cannot be opened.
        """
        address = REACHED_BY.get(self._address[0], self._address[0])
        shown = f"[{address}]" if ":" in address else address
        return f"tcp://{shown}:{self._listener('tcp').port}"

    @property
    def socket_url(self) -> str:
        """``unix:///…``, as in ``DOCKER_HOST``. The socket is made at the first use. It has no TLS.

        :raises RuntimeError: the engine is closed.
        """
        self._listener("unix")
        return f"unix://{self._socket_path()}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which docker's clients find the engine: ``DOCKER_HOST``, and those of TLS.

        :raises RuntimeError: the engine is closed.
        """
        variables = {"DOCKER_HOST": self.url}
        certificates = self._listener("tcp").certificates
        if certificates is not None:
            variables |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": certificates}
        return variables

    def _socket_path(self) -> str:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="v1registry-")
        return f"{self._folder.name}/docker.sock"

    def _listener(self, kind: str) -> Listener:
        with self._lock:
            if not self._is_open:
                raise RuntimeError("this FakeEngine is closed, so it has no port")
            if kind not in self._listeners:
                from ..listener import Listener
                from .port import EngineServer

                address: tuple[str, int] | str = self._address if kind == "tcp" else self._socket_path()
                server = EngineServer(self._recorder, address)
                self._listeners[kind] = Listener(server, tls=self._tls and kind == "tcp")
            return self._listeners[kind]

    # -- what containers do

    def on_run(
        self,
        image: str,
        program: Program | None = None,
        *,
        command: str | Sequence[str] | None = None,
        logs: Sequence[LogLine] = (),
        exit_code: int | None = 0,
        after_s: float = 0.0,
    ) -> None:
        """Say what containers of an image do. A later rule has precedence over earlier ones.

        Without a rule a container starts, stays running and logs nothing.

        :param image: a pattern of the name of the image, such as ``alice/app:1.0`` or ``*/app``. Without a
            tag it matches every tag.
        :param program: a function that gets a :class:`Run` and returns the exit code, in place of ``logs``,
            ``exit_code`` and ``after_s``.
        :param command: a pattern of the command line, or the list of program and arguments.
        :param logs: lines of output: text, bytes, or pairs such as ``("stderr", "failed")``.
        :param exit_code: the exit code; None if the container does not end by itself.
        :param after_s: when it ends, in seconds of :attr:`clock`.
        :raises TypeError: a value has another type, or a program is given together with logs or a time.
        :raises ValueError: the image is empty, or the time or the exit code is out of range.
        """
        self._behaviours.of_runs.append(rule(image, command, logs, exit_code, after_s, program))

    def on_exec(
        self,
        image: str,
        program: Program | None = None,
        *,
        command: str | Sequence[str] | None = None,
        logs: Sequence[LogLine] = (),
        exit_code: int | None = 0,
        after_s: float = 0.0,
    ) -> None:
        """Say what commands do that are run in containers of an image, as :meth:`on_run` does.

        Without a rule a command ends at once with 0.

        :raises TypeError: a value has another type, or a program is given together with logs or a time.
        :raises ValueError: the image is empty, or the time or the exit code is out of range.
        """
        self._behaviours.of_execs.append(rule(image, command, logs, exit_code, after_s, program))

    @property
    def rule_count(self) -> int:
        """How many rules of :meth:`on_run` and :meth:`on_exec` there are."""
        return len(self._behaviours.of_runs) + len(self._behaviours.of_execs)

    # -- its contents

    @property
    def requests(self) -> RequestLog:
        """The requests of clients in the order of arrival."""
        return self._recorder.requests

    # -- reset, check and close

    def reset(self) -> None:
        """Forget everything. :attr:`app` and the addresses stay the same."""
        self._application.state.close()
        self._application.state = self._make_state()
        self._application.failures.clear()
        self._recorder.failed.clear()
        self._recorder.requests.clear()
        self._behaviours.of_runs.clear()
        self._behaviours.of_execs.clear()
        self._gate.faults.clear()
        self.clock.reset()

    def check(self) -> None:
        """Return if the fake had no unexpected error. Each error is reported once.

        :raises AssertionError: lists the requests with an unexpected error.
        """
        programs = self._application.state.programs.failures
        broken = [(str(request), request.error) for request in self._recorder.failed if request.error]
        failures = [*self._application.failures, *broken, *programs]
        self._application.failures.clear()
        self._recorder.failed.clear()
        programs.clear()
        if failures:
            lines = [f"  {request}\n    {type(error).__name__}: {error}\n" for request, error in failures]
            raise AssertionError(
                "The engine failed in these requests, or programs of the test in these runs:\n"
                + "".join(lines)
            ) from failures[0][1]

    def close(self) -> None:
        """Stop the ports, and end what waits. Closing twice has no effect."""
        with self._lock:
            self._is_open = False
            self._gate.faults.clear()
            listeners, self._listeners = list(self._listeners.values()), {}
        self._application.state.close()
        for listener in listeners:
            listener.stop()
        self._recorder.requests.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def describe(self) -> str:
        """Return the requests, images and containers in some lines, for the report of a failed test."""
        requests = [f"  {request}" for request in self.requests[-_DESCRIBED:]]
        return "\n".join(
            [f"asked: {len(self.requests) or 'nothing'}", *requests, repr(self.images), repr(self.containers)]
        )

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.check()

    def __repr__(self) -> str:
        return f"<FakeEngine of docker {self._release.version}>"
