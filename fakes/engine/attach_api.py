"""Endpoints that stream output and take input: logs, attach, exec (remote.md 6, 7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Final

from v1registry.wsgi.framework import Response

from .bodies import EXEC, EXEC_START
from .containers import Container
from .errors import InvalidParameter, LogsNotKept, NotSimulated, ObjectConflict
from .execs import Exec
from .hijack import Connection
from .processes import Output, Process
from .requests import EngineRequest, answer, empty, stream
from .routing import row
from .streams import Selection, followed, frame, logs, stream_type
from .terminals import Detachment, detach_keys
from .times import moment_s

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_DETACHED: Final = b"exec attach failed: error on attach stdin: read escape sequence\r\n"
_REASONS: Final = {200: "OK", 101: "UPGRADED"}


def get_logs(request: EngineRequest) -> Response:
    """Return the output of a container, and follow it if that is wanted."""
    wanted = frozenset(name for name in ("stdout", "stderr") if request.flag(name))
    if not wanted:
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    tail = request.parameter("tail") or "all"
    selection = Selection(
        wanted,
        # 0 means from the beginning
        moment_s(request.parameter("since")) or None,
        moment_s(request.parameter("until")) or None,
        request.flag("timestamps"),
        int(tail) if _NUMBER.fullmatch(tail) else None,
    )
    state = request.state
    with state.lock:
        container = _container(request)
        has_tty = container.has_tty
        if container.host_config["LogConfig"]["Type"] == "none":
            raise LogsNotKept("configured logging driver does not support reading")
    found = logs(state, container, selection, follows=request.flag("follow"), connection=request.connection)
    return stream(found, stream_type(request.version, has_tty=has_tty))


def _container(request: EngineRequest) -> Container:
    return request.state.containers.find(request.fields["name"])


def post_attach(request: EngineRequest) -> Response:
    """Connect a client with input and output of a container until it stops."""
    state, keys = request.state, detach_keys(request.parameter("detachKeys"))
    with state.lock:
        container = _container(request)
        container.settle()
        if container.status == "paused":
            raise ObjectConflict(
                f"container {request.fields['name']} is paused, unpause the container before attach"
            )
        if container.status == "restarting":
            raise ObjectConflict(
                f"container {request.fields['name']} is restarting, wait until the container is running"
            )
    connection = _connection(request, "attach in process, without a live port,")
    wanted = frozenset(name for name in ("stdout", "stderr") if request.flag(name))
    with state.lock:
        if request.flag("stream"):
            container.prepare_run()
        process = container.process
        position = 0 if request.flag("logs") else len(process.outputs)
        container.note("attach")

    def talk(taken: Connection) -> None:
        if not request.flag("stream"):
            outputs: Iterator[Output | None] = iter(process.outputs[position:])
        else:
            outputs = followed(state, container, process, position)
        _write(taken, outputs, wanted, detachment, has_tty=container.has_tty)
        if detachment.is_done:
            container.note("detach")

    detachment = Detachment(keys if container.has_tty else b"")
    reads = request.flag("stream") and request.flag("stdin") and bool(container.config.get("OpenStdin"))
    given = (process, detachment) if reads else None
    return _hijacked(request, connection, given, talk, has_tty=container.has_tty)


def _connection(request: EngineRequest, what: str) -> Connection:
    """Return the connection of a request.

    :raises NotSimulated: it came in process.
    """
    if request.connection is None:
        raise NotSimulated(what)
    return request.connection


def _write(
    connection: Connection,
    outputs: Iterator[Output | None],
    wanted: frozenset[str],
    detachment: Detachment,
    *,
    has_tty: bool,
) -> None:
    """Write output to a client until it ends, the client detaches, or the connection is broken."""
    for output in outputs:
        if detachment.is_done or connection.is_broken:
            return
        if output is not None and output.stream in wanted:
            connection.send(output.data if has_tty else frame(output.stream, output.data))


def _hijacked(
    request: EngineRequest,
    connection: Connection,
    given: tuple[Process, Detachment] | None,
    talk: Callable[[Connection], None],
    *,
    has_tty: bool,
) -> Response:
    """Return an answer that takes over the connection.

    :param given: the process that gets what the client sends, and what looks for the keys that detach;
        None if it takes no input.
    :param talk: writes to the client.
    """
    is_upgrade = "upgrade" in request.headers.get("Connection", "").lower()
    status = 101 if is_upgrade else 200
    kind = stream_type(request.version, has_tty=has_tty)

    def run() -> Iterator[bytes]:
        connection.take_over()
        head = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Type: {kind}"]
        if is_upgrade:
            head += ["Connection: Upgrade", "Upgrade: tcp"]
        reader = None
        with suppress(OSError):
            connection.send_head("\r\n".join([*head, "", ""]).encode("ascii"))
            # the docker library loses output that comes together with the head
            connection.wait_until_read()
            if given is not None:
                reader = Thread(target=_read, args=(connection, *given), daemon=True)
                reader.start()
            talk(connection)
        connection.end_sending()
        if reader is not None:
            connection.end_receiving()
            reader.join()
        yield from ()

    response = Response(status=status, headerlist=[("Content-Type", kind)])
    response.app_iter = run()
    return response


def _read(connection: Connection, process: Process, detachment: Detachment) -> None:
    for chunk in connection.received():
        process.give_input(detachment.passed(chunk))
        if detachment.is_done:
            return
    process.close_input()


def post_exec(request: EngineRequest) -> Response:
    """Make a command in a container."""
    body, state = request.document(EXEC), request.state
    words = body.get("Cmd")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise InvalidParameter("No exec command specified")
    with state.lock:
        container = _container(request)
        detach_keys(body.get("DetachKeys"))
        return answer({"Id": state.execs.create(container, body).id}, 201)


def post_exec_start(request: EngineRequest) -> Response:
    """Run a command, and connect the client with it unless it is detached."""
    body, state = request.document(EXEC_START), request.state
    with state.lock:
        command = _exec(request)
    if body.get("Detach"):
        with state.lock:
            state.execs.start(command)
        return empty(200)
    connection = _connection(request, "exec in process, without a live port and detach,")
    with state.lock:
        state.execs.start(command)
    wanted = frozenset(
        name
        for name, key in (("stdout", "AttachStdout"), ("stderr", "AttachStderr"))
        if command.settings.get(key)
    )

    # the form of the output is that of this request, whatever the command writes to
    has_tty = bool(body.get("Tty"))

    def talk(taken: Connection) -> None:
        outputs = followed(state, command, command.process, 0)
        _write(taken, outputs, wanted, detachment, has_tty=has_tty)
        if detachment.is_done:
            taken.send(_DETACHED if has_tty else frame("stdout", _DETACHED))

    detachment = Detachment(detach_keys(command.settings.get("DetachKeys")) if command.has_tty else b"")
    given = (command.process, detachment) if command.settings.get("AttachStdin") else None
    return _hijacked(request, connection, given, talk, has_tty=has_tty)


def _exec(request: EngineRequest) -> Exec:
    return request.state.execs.find(request.fields["exec_id"])


def get_exec(request: EngineRequest) -> Response:
    """Inspect a command."""
    state = request.state
    with state.lock:
        return answer(state.execs.document(_exec(request)))


def post_exec_resize(request: EngineRequest) -> Response:
    """Accept the size of a terminal."""
    for name in ("h", "w"):
        if request.number(name) is None:
            raise InvalidParameter(f'strconv.Atoi: parsing "{request.parameter(name) or ""}": invalid syntax')
    with request.state.lock:
        _exec(request)
    return empty(200)


ROUTES: Final = (
    row("GET", "/containers/{container}/logs", get_logs),
    row("POST", "/containers/{container}/attach", post_attach),
    row("POST", "/containers/{container}/exec", post_exec),
    row("POST", "/exec/{exec}/start", post_exec_start),
    row("GET", "/exec/{exec}/json", get_exec),
    row("POST", "/exec/{exec}/resize", post_exec_resize),
)
