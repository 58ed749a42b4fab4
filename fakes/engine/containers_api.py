"""Endpoints of containers and their states (remote.md 5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from v1registry.wsgi.framework import Response

from . import bodies
from .container_checks import check_restarts
from .container_creation import create
from .container_documents import FILTERS, changed_bytes, inspected, listed
from .containers import KILLED, Container
from .errors import InvalidParameter, NoSuchObject, ObjectConflict
from .requests import EngineRequest, answer, empty, stream
from .routing import row
from .signals import signal_number
from .state import EngineState
from .times import moment_s, nanoseconds
from .versions import ApiVersion


def get_containers(request: EngineRequest) -> Response:
    """List containers."""
    filters, state = request.filters(*FILTERS), request.state
    with state.lock:
        return answer(
            listed(
                state,
                filters,
                request.version,
                is_all=request.flag("all"),
                limit=request.number("limit"),
                has_size=request.flag("size"),
            )
        )


def post_create_container(request: EngineRequest) -> Response:
    """Make a container."""
    body, state = request.document(bodies.CONTAINER), request.state
    with state.lock:
        container = create(state, request.parameter("name"), body)
    return answer({"Id": container.id, "Warnings": []}, 201)


def get_container(request: EngineRequest) -> Response:
    """Inspect a container."""
    state = request.state
    with state.lock:
        return answer(inspected(state, _container(request), request.version, has_size=request.flag("size")))


def _container(request: EngineRequest) -> Container:
    return request.state.containers.find(request.fields["name"])


def post_start(request: EngineRequest) -> Response:
    """Start a container."""
    if (request.content_length or 0) > 7 and request.read(8).strip() not in (b"", b"{}", b"null"):
        raise InvalidParameter(
            "starting container with non-empty request body was deprecated since API v1.22 "
            "and removed in v1.24"
        )
    with request.state.lock:
        _container(request).start()
    return empty()


def post_stop(request: EngineRequest) -> Response:
    """Stop a container."""
    request.number("t")
    with request.state.lock:
        _container(request).stop()
    return empty()


def post_restart(request: EngineRequest) -> Response:
    """Stop a container if it runs, and start it."""
    request.number("t")
    with request.state.lock:
        container = _container(request)
        if container.is_running:
            container.stop()
        container.start()
        container.note("restart")
    return empty()


def post_kill(request: EngineRequest) -> Response:
    """Send a signal to a container."""
    number, name = signal_number(request.parameter("signal") or "KILL"), request.fields["name"]
    with request.state.lock:
        try:
            _container(request).kill(number)
        except (NoSuchObject, ObjectConflict) as error:
            raise type(error)(f"Cannot kill container: {name}: {error.message}") from None
    return empty()


def post_pause(request: EngineRequest) -> Response:
    """Pause a container."""
    with request.state.lock:
        _container(request).pause()
    return empty()


def post_unpause(request: EngineRequest) -> Response:
    """Let a paused container go on."""
    with request.state.lock:
        _container(request).unpause()
    return empty()


def post_wait(request: EngineRequest) -> Response:
    """Wait until a container stops, or was removed. The headers are sent at once."""
    state, connection = request.state, request.connection
    condition = request.parameter("condition") or "not-running"
    if request.version < ApiVersion(1, 30):
        condition = "not-running"
    if condition not in ("not-running", "next-exit", "removed"):
        raise InvalidParameter(f'invalid condition: "{condition[:40]}"')
    with state.lock:
        container = _container(request)
        ends = container.ends if container.is_running or condition == "next-exit" else None

    def lines() -> Iterator[bytes]:
        yield b""
        while not _is_over(container, condition, ends):
            with state.changed:
                container.settle()
                if not _is_over(container, condition, ends):
                    state.changed.wait(0.02)
            if state.is_closed or (connection is not None and connection.is_gone):
                return
        result: dict[str, Any] = {"StatusCode": container.exit_code}
        if state.release.api < ApiVersion(1, 42):
            result["Error"] = None
        yield json.dumps(result).encode() + b"\n"

    return stream(lines())


def _is_over(container: Container, condition: str, ends: int | None) -> bool:
    """Tell whether a wait is over.

    :param ends: how often the container had ended when the wait began; None if it did not run then.
    """
    if condition == "removed":
        return container.is_removed
    # a container that waits for its restart has ended too
    return ends is None or container.ends > ends or container.is_removed


def post_rename(request: EngineRequest) -> Response:
    """Give a container another name."""
    name, state = request.parameter("name") or "", request.state
    if not name:
        raise InvalidParameter("Neither old nor new names may be empty")
    with state.lock:
        container = _container(request)
        if container.name == name.removeprefix("/"):
            raise InvalidParameter("Renaming a container with the same name as its current name")
        try:
            plain = state.containers.check_name(f"/{name.removeprefix('/')}", container.id)
        except (InvalidParameter, ObjectConflict) as error:
            raise type(error)(f"Error when allocating new name: {error.message}") from None
        old, container.name = container.name, plain
        container.note("rename", oldName=f"/{old}")
    return empty()


def post_update(request: EngineRequest) -> Response:
    """Change limits and the restart policy of a container."""
    changes = request.document(bodies.HOST_CONFIG)
    with request.state.lock:
        container = _container(request)
        check_restarts(changes)
        container.host_config |= changes
        container.note("update")
    return answer({"Warnings": None})


def post_resize(request: EngineRequest) -> Response:
    """Accept the size of a terminal."""
    for name in ("h", "w"):
        if request.number(name) is None:
            raise InvalidParameter(f'strconv.Atoi: parsing "{request.parameter(name) or ""}": invalid syntax')
    with request.state.lock:
        container = _container(request)
        container.require_running()
        container.note("resize", height=str(request.number("h")), width=str(request.number("w")))
    return empty(200)


def delete_container(request: EngineRequest) -> Response:
    """Remove a container, or a link to one."""
    state = request.state
    with state.lock:
        if request.flag("link"):
            state.containers.remove_link(request.fields["name"])
            return empty()
        container = _container(request)
        if container.is_running and not request.flag("force"):
            advice = "Stop the container before attempting removal or force remove"
            if container.status == "paused":
                advice = "Unpause and then stop the container before attempting removal or force remove"
            raise ObjectConflict(f"You cannot remove a {container.status} container {container.id}. {advice}")
        if container.is_running:
            container.stop(KILLED)
        _remove(state, container, with_volumes=request.flag("v"))
    return empty()


def _remove(state: EngineState, container: Container, *, with_volumes: bool) -> None:
    names = [mount["Name"] for mount in container.mounts if mount["Name"]]
    state.containers.remove(container)
    if with_volumes:
        state.volumes.remove_anonymous(names)


def post_prune_containers(request: EngineRequest) -> Response:
    """Remove stopped containers."""
    filters, state = request.filters("label", "label!", "until"), request.state
    until = [moment_s(text) for text in filters.get("until")]
    removed, freed = [], 0
    with state.lock:
        for container in state.containers.all():
            is_young = any(limit is not None and container.created_s >= limit for limit in until)
            if container.is_running or is_young or filters.forbids_labels(container.labels):
                continue
            if filters.allows_labels(container.labels):
                freed += changed_bytes(container)
                _remove(state, container, with_volumes=False)
                removed.append(container.id)
        state.events.add("container", "prune", "", {"reclaimed": str(freed)})
    return answer({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})


def get_top(request: EngineRequest) -> Response:
    """List the processes of a container: the simulated one."""
    with request.state.lock:
        container = _container(request)
        container.require_running()
        started = nanoseconds(request.state.clock.now())[11:16]
        process = ["root", str(4000 + container.number), "1", "0", started, "?", "00:00:00"]
        titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        return answer({"Titles": titles, "Processes": [[*process, " ".join(container.command)]]})


def get_stats(request: EngineRequest) -> Response:
    """Return usage of resources, once or each second. The figures are made up."""
    state, connection = request.state, request.connection
    with state.lock:
        container = _container(request)
    if not request.flag("stream", default=True):
        return answer(_stats(container))

    def lines() -> Iterator[bytes]:
        while not state.is_closed and not container.is_removed:
            yield json.dumps(_stats(container)).encode() + b"\n"
            until_s = state.clock.time_s() + 1
            while state.clock.time_s() < until_s:
                with state.changed:
                    state.changed.wait(0.02)
                if state.is_closed or (connection is not None and connection.is_gone):
                    return
                yield b""

    return stream(lines())


def _stats(container: Container) -> dict[str, Any]:
    is_running = container.status == "running"
    usage = {"total_usage": 1_000_000 if is_running else 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    cpu = {"cpu_usage": usage, "system_cpu_usage": 1_000_000_000, "online_cpus": 2,
           "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}  # fmt: skip
    return {
        "read": nanoseconds(container.around.clock.now()),
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {"current": 1} if is_running else {},
        "blkio_stats": {"io_service_bytes_recursive": None},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu,
        "precpu_stats": cpu,
        "memory_stats": {"usage": 1 << 20, "limit": 4 << 30, "stats": {}} if is_running else {},
        "name": f"/{container.name}",
        "id": container.id,
        "networks": {},
    }


ROUTES: Final = (
    row("GET", "/containers/json", get_containers),
    row("POST", "/containers/create", post_create_container),
    row("POST", "/containers/prune", post_prune_containers),
    row("GET", "/containers/{container}/json", get_container),
    row("GET", "/containers/{container}/top", get_top),
    row("GET", "/containers/{container}/stats", get_stats),
    row("POST", "/containers/{container}/start", post_start),
    row("POST", "/containers/{container}/stop", post_stop),
    row("POST", "/containers/{container}/restart", post_restart),
    row("POST", "/containers/{container}/kill", post_kill),
    row("POST", "/containers/{container}/pause", post_pause),
    row("POST", "/containers/{container}/unpause", post_unpause),
    row("POST", "/containers/{container}/wait", post_wait),
    row("POST", "/containers/{container}/rename", post_rename),
    row("POST", "/containers/{container}/update", post_update),
    row("POST", "/containers/{container}/resize", post_resize),
    row("DELETE", "/containers/{container}", delete_container),
)
