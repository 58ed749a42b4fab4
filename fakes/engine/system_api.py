"""Endpoints about the engine itself: ping, version, info, log-in, events (remote.md 3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from v1registry.wsgi.framework import Response

from .errors import InvalidParameter, NotInASwarm
from .filters import Filters
from .requests import EngineRequest, answer, stream
from .routing import row
from .times import moment_s, nanoseconds
from .versions import LOWEST, ApiVersion

_KERNEL = "6.1.0-fake"


def ping(request: EngineRequest) -> Response:
    """Answer that the engine lives. The headers tell clients which version to speak."""
    response = Response(b"OK", content_type="text/plain", charset="utf-8")
    response.headers["Cache-Control"] = "no-cache, no-store, must-revalidate"
    response.headers["Pragma"] = "no-cache"
    if request.state.release.api >= ApiVersion(1, 42):
        response.headers["Builder-Version"] = ""
        response.headers["Swarm"] = "inactive"
    return response


def get_version(request: EngineRequest) -> Response:
    """Return the release of the engine."""
    release = request.state.release
    details = {
        "ApiVersion": str(release.api),
        "Arch": "amd64",
        "BuildTime": release.build_time,
        "Experimental": "false",
        "GitCommit": release.commit,
        "GoVersion": release.go_version,
        "KernelVersion": _KERNEL,
        "MinAPIVersion": str(LOWEST),
        "Os": "linux",
    }
    return answer({
        "Platform": {"Name": "FakeEngine of v1registry_fakes"},
        "Components": [{"Name": "Engine", "Version": release.version, "Details": details}],
        "Version": release.version,
        "ApiVersion": str(release.api),
        "MinAPIVersion": str(LOWEST),
        "GitCommit": release.commit,
        "GoVersion": release.go_version,
        "Os": "linux",
        "Arch": "amd64",
        "KernelVersion": _KERNEL,
        "BuildTime": release.build_time,
    })  # fmt: skip


def get_info(request: EngineRequest) -> Response:
    """Return what the engine runs on, and how much it has."""
    state = request.state
    with state.lock:
        containers = [container.status for container in state.containers.all()]
        images = len(state.images.all())
    info: dict[str, Any] = {
        "ID": state.engine_id,
        "Containers": len(containers),
        "ContainersRunning": len([status for status in containers if status in ("running", "restarting")]),
        "ContainersPaused": containers.count("paused"),
        "ContainersStopped": len(
            [status for status in containers if status in ("created", "exited", "dead")]
        ),
        "Images": images,
        "Driver": "vfs",
        "DriverStatus": [],
        "DockerRootDir": "/var/lib/docker",
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "Debug": False,
        "NFd": 20,
        "OomKillDisable": False,
        "NGoroutines": 30,
        "SystemTime": nanoseconds(state.clock.now()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "NEventsListener": 0,
        "KernelVersion": _KERNEL,
        "OperatingSystem": "FakeEngine of v1registry_fakes",
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": "x86_64",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "AllowNondistributableArtifactsCIDRs": None,
            "AllowNondistributableArtifactsHostnames": None,
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {
                "docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}
            },
            "Mirrors": [],
        },
        "NCPU": 2,
        "MemTotal": 4 << 30,
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": state.name,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": state.release.version,
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": [],
        "Warnings": None,
    }
    return answer(info)


def get_events(request: EngineRequest) -> Response:
    """Stream events, first those of the past if ``since`` is given."""
    since_s, until_s = moment_s(request.parameter("since")), moment_s(request.parameter("until"))
    if since_s is not None and until_s is not None and until_s < since_s:
        raise InvalidParameter(
            f"`since` time ({request.parameter('since')}) cannot be after `until` time "
            f"({request.parameter('until')})"
        )
    # engines ignore unknown filters here
    filters = Filters.parse(request.parameter("filters"), None)
    connection = request.connection
    found = request.state.events.listen(
        since_s, until_s, lambda: connection is not None and connection.is_gone
    )

    def lines() -> Iterator[bytes]:
        for event in found:
            if event is None:
                yield b""
            elif event.matches(filters):
                yield json.dumps(event.document()).encode("utf-8") + b"\n"

    return stream(lines())


def post_prune_builds(request: EngineRequest) -> Response:
    """Remove nothing: an engine that does not build has no cache."""
    return answer({"CachesDeleted": None, "SpaceReclaimed": 0})


def post_leave_swarm(request: EngineRequest) -> Response:
    """Leave no swarm: the engine is in none.

    :raises NotInASwarm: always; the message is docker's.
    """
    raise NotInASwarm("This node is not part of a swarm")


ROUTES = (
    row("GET", "/_ping", ping),
    row("GET", "/version", get_version),
    row("GET", "/info", get_info),
    row("GET", "/events", get_events),
    row("POST", "/swarm/leave", post_leave_swarm),
    row("POST", "/build/prune", post_prune_builds),
)
