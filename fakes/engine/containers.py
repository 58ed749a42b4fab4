"""Containers: their states, and what may be done in each (remote.md 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal

from .behaviours import Run
from .errors import EngineError, NotModified, ObjectConflict
from .image_store import EngineImage
from .links import variables
from .processes import Process
from .signals import signal_number

if TYPE_CHECKING:
    from threading import Condition

    from v1registry.clock import Clock

    from .behaviours import Behaviours
    from .events import EventLog
    from .files import Files
    from .image_store import ImageStore
    from .networks import NetworkStore
    from .programs import Programs

Status = Literal["created", "running", "paused", "restarting", "exited", "dead", "removing"]

#: The exit code of a process that was killed: 128 and the number of the signal.
KILLED: Final = 137

#: How long the pause before a restart is at first and at most, in seconds. It doubles each time.
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 60.0

#: The output of so many earlier runs is kept.
_KEPT_RUNS: Final = 100

#: How many restarts are made up at once, if a test moves the clock far.
_MOST_RESTARTS: Final = 5000


@dataclass
class Health:
    """The health of a container that has a check."""

    status: Literal["starting", "healthy", "unhealthy"] = "starting"


@dataclass
class Surroundings:
    """What containers work on.

    :param changed: is notified of each change; its lock is that of the engine.
    :param forget: removes a container.
    """

    clock: Clock
    changed: Condition
    events: EventLog
    behaviours: Behaviours
    programs: Programs
    images: ImageStore
    networks: NetworkStore
    forget: Callable[[Container], None] = lambda container: None


@dataclass(eq=False)
class Container:
    """One container. Its callers hold the lock of the engine.

    :param name: without the slash in front.
    :param image_name: as the client gave it.
    :param config: ``Config`` of the container: settings of the image and of the request.
    """

    around: Surroundings
    id: str
    number: int
    name: str
    image: EngineImage
    image_name: str
    config: dict[str, Any]
    host_config: dict[str, Any]
    created_s: float
    files: Files
    status: Status = "created"
    process: Process = field(init=False)
    started_s: float | None = None
    finished_s: float | None = None
    exit_code: int = 0
    error: str = ""
    restart_count: int = 0
    is_removed: bool = False
    exec_ids: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    health: Health | None = None
    linked: dict[str, str] = field(default_factory=dict)  #: the variables of links
    starts: int = 0  #: how often it was started
    ends: int = 0  #: how often it ended
    links: dict[str, Container] = field(default_factory=dict)  #: alias -> container of the same network
    earlier: list[Process] = field(default_factory=list)  #: the runs before, whose output is kept
    _restart_due_s: float | None = None
    _was_stopped_by_hand: bool = False

    def __post_init__(self) -> None:
        # what clients attach to before the start
        self.process = self._new_process()

    # -- what it is

    @property
    def command(self) -> list[str]:
        """Program and arguments: entrypoint and command."""
        return [*_words(self.config.get("Entrypoint")), *_words(self.config.get("Cmd"))]

    @property
    def environment(self) -> dict[str, str]:
        """The variables, without those of links."""
        pairs = (str(text).partition("=") for text in self.config.get("Env") or [])
        return {name: value for name, _, value in pairs}

    @property
    def stop_code(self) -> int:
        """The exit code of a process that is stopped: its signal and 128."""
        return 128 + signal_number(str(self.config.get("StopSignal") or "TERM"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of image and request."""
        found = self.config.get("Labels")
        return found if isinstance(found, dict) else {}

    @property
    def has_tty(self) -> bool:
        """Whether output is that of a terminal, so that it is not multiplexed."""
        return bool(self.config.get("Tty"))

    @property
    def is_running(self) -> bool:
        """Whether it runs, is paused, or waits for its restart."""
        return self.status in ("running", "paused", "restarting")

    @property
    def image_names(self) -> list[str]:
        """The names and the id of the image, for rules of tests."""
        names = [str(reference) for reference in self.around.images.references(self.image.id)]
        return [*dict.fromkeys([self.image_name, *names]), self.image.id]

    # -- what is done to it

    def start(self) -> None:
        """Start the container.

        :raises NotModified: it runs.
        :raises ObjectConflict: it is paused.
        :raises EngineError: there is no address or port for it.
        """
        if self.status == "paused":
            raise ObjectConflict("cannot start a paused container, try unpause instead")
        if self.is_running:
            raise NotModified("Container is already started")
        self._was_stopped_by_hand = False
        self.restart_count = 0
        self._run(self.around.clock.time_s())
        self.settle()

    def _run(self, moment_s: float) -> None:
        """Begin a run at a moment, which may be in the past if the clock was moved.

        :raises EngineError: there is no address or port for it. The container does not run then.
        """
        self._restart_due_s = None
        try:
            self.linked = variables(self.name, self.links, self.around.networks)
            self.around.networks.join(self)
        except EngineError as error:
            self.status = "created" if self.starts == 0 else "exited"
            self.exit_code, self.error = _NOT_STARTED, error.message
            raise
        self.prepare_run()
        self.starts += 1
        self.status, self.exit_code, self.error = "running", 0, ""
        self.started_s = moment_s
        if self.config.get("Healthcheck"):
            self.health = Health("healthy")
        for mount in self.volume_mounts:
            told = {"destination": mount["Destination"], "propagation": "", "read/write": _go(mount["RW"])}
            self._note_volume("mount", mount, told)
        self.note("start")
        behaviours = self.around.behaviours
        behaviour = behaviours.find(behaviours.of_runs, self.image_names, self.command)
        if behaviour is None:
            return
        if behaviour.program is None:
            behaviour.act_in(self.process, moment_s)
            return
        run = Run(
            self.process,
            self.command,
            {**self.environment, **self.linked},
            user=str(self.config.get("User") or ""),
            working_folder=str(self.config.get("WorkingDir") or ""),
            image=self.image_name,
            container=self.name,
            files=self.files,
        )
        self.around.programs.start(behaviour.program, run, self.process)

    def prepare_run(self) -> None:
        """Make the process of the next run if the last one has ended. Clients attach before the start."""
        if self.process.has_ended:
            self.earlier = [*self.earlier[-_KEPT_RUNS:], self.process]
            self.process = self._new_process()

    def settle(self) -> None:
        """Do what is due: end of the process, restart, removal."""
        for _ in range(_MOST_RESTARTS):
            self.process.settle()
            if self.status in ("running", "paused") and self.process.has_ended:
                self._end()
            elif self._restart_due_s is not None and self._restart_due_s <= self.around.clock.time_s():
                self.restart_count += 1
                with suppress(EngineError):
                    self._run(self._restart_due_s)
            else:
                return

    def _end(self) -> None:
        """Note the end of the process, and decide what follows."""
        self.ends += 1
        self.exit_code = self.process.exit_code or 0
        self.finished_s = self.process.ended_at_s
        self.note("die", exitCode=str(self.exit_code))
        if self._restarts():
            self.status = "restarting"
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(self.restart_count, 20), _LONGEST_PAUSE_S)
            self._restart_due_s = (self.finished_s or 0) + pause_s
            return
        self.status = "exited"
        if self.health is not None:
            self.health = Health("unhealthy")
        self.around.networks.leave(self)
        for mount in self.volume_mounts:
            self._note_volume("unmount", mount, {})
        if self.host_config.get("AutoRemove"):
            self.around.forget(self)

    def _restarts(self) -> bool:
        policy = self.host_config.get("RestartPolicy")
        name = policy.get("Name") if isinstance(policy, dict) else None
        if self._was_stopped_by_hand or self.host_config.get("AutoRemove"):
            return False
        if name == "on-failure":
            most = policy.get("MaximumRetryCount") or 0 if isinstance(policy, dict) else 0
            return self.exit_code != 0 and (not most or self.restart_count < most)
        return name in ("always", "unless-stopped")

    def stop(self, exit_code: int | None = None) -> None:
        """Stop the container.

        :param exit_code: None for that of its stop signal.
        :raises NotModified: it does not run.
        """
        if not self.is_running:
            raise NotModified("Container is already stopped")
        exit_code = self.stop_code if exit_code is None else exit_code
        if self.status != "restarting":
            self.note("kill", signal=str(exit_code - 128))
        self._signal(exit_code)
        self.note("stop")

    def kill(self, signal: int) -> None:
        """Send a signal, which ends the process unless it is one that processes ignore.

        :raises ObjectConflict: it does not run.
        """
        if not self.is_running:
            raise ObjectConflict(f"Container {self.id} is not running")
        self.note("kill", signal=str(signal))
        if signal not in _HARMLESS:
            self._signal(128 + signal)

    def _signal(self, exit_code: int) -> None:
        self._was_stopped_by_hand = True
        if self.status == "restarting":
            self.status, self._restart_due_s = "exited", None
            return
        self.process.end(exit_code)
        self.settle()

    def pause(self) -> None:
        """Pause the container.

        :raises ObjectConflict: it does not run, or is paused.
        """
        if self.status == "paused":
            raise ObjectConflict(f"Container {self.id} is already paused")
        if self.status == "restarting":
            raise ObjectConflict(f"Container {self.id} is restarting, wait until the container is running")
        self.require_running()
        self.status = "paused"
        self.note("pause")

    def unpause(self) -> None:
        """Let the container go on.

        :raises EngineError: it is not paused.
        """
        if self.status != "paused":
            raise EngineError(f"Container {self.id} is not paused")
        self.status = "running"
        self.note("unpause")

    def require_running(self) -> None:
        """Return if the container runs.

        :raises ObjectConflict: it does not.
        """
        if not self.is_running:
            raise ObjectConflict(f"Container {self.id} is not running")

    def note(self, action: str, **attributes: str) -> None:
        """Note an event of the container."""
        own = {"image": self.image_name, "name": self.name, **self.labels}
        self.around.events.add("container", action, self.id, own | attributes)

    @property
    def volume_mounts(self) -> list[dict[str, Any]]:
        """The mounts that are volumes."""
        return [mount for mount in self.mounts if mount["Type"] == "volume"]

    def _note_volume(self, action: str, mount: Mapping[str, Any], told: Mapping[str, str]) -> None:
        attributes = {"container": self.id, "driver": "local", **told}
        self.around.events.add("volume", action, mount["Name"], attributes)

    def _new_process(self) -> Process:
        process = Process(self.around.clock, self.around.changed, has_tty=self.has_tty)
        if not self.config.get("OpenStdin"):
            process.close_input()
        return process


#: The exit code of a container that could not be started.
_NOT_STARTED: Final = 128

#: Signals that end no process by default: CHLD, CONT, URG, WINCH; and 0, which sends none.
_HARMLESS: Final = frozenset({0, 17, 18, 23, 28})


def _go(value: object) -> str:
    """Return a truth value as Go writes it."""
    return "true" if value else "false"


def _words(value: object) -> list[str]:
    """Return a command, which may be a list, a text or nothing."""
    if isinstance(value, str):
        return [value]
    return [str(word) for word in value] if isinstance(value, Sequence) else []


def moment_of(seconds: float | None) -> datetime | None:
    """Return a moment, None for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
