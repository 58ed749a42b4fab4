"""Commands that clients run in containers (remote.md 7)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .behaviours import Run
from .errors import EngineError, NoSuchObject, ObjectConflict
from .processes import Process

if TYPE_CHECKING:
    from .containers import Container, Surroundings


@dataclass(eq=False)
class Exec:
    """A command in a container.

    :param settings: as the client gave them.
    """

    id: str
    container: Container
    settings: Mapping[str, Any]
    process: Process
    has_started: bool = False

    def settle(self) -> None:
        """End the command if its time has come."""
        self.process.settle()

    @property
    def command(self) -> list[str]:
        """Program and arguments."""
        return [str(word) for word in self.settings.get("Cmd") or []]

    @property
    def has_tty(self) -> bool:
        """Whether output is that of a terminal."""
        return bool(self.settings.get("Tty"))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the container and of the command."""
        pairs = (str(text).partition("=") for text in self.settings.get("Env") or [])
        return self.container.environment | self.container.linked | {name: value for name, _, value in pairs}


@dataclass
class ExecStore:
    """All commands of an engine. Its callers hold the lock of the engine."""

    around: Surroundings
    _execs: dict[str, Exec] = field(default_factory=dict)
    _count: int = 0

    def create(self, container: Container, settings: Mapping[str, Any]) -> Exec:
        """Make a command, which does not run yet.

        :raises ObjectConflict: the container does not run, or is paused.
        """
        container.require_running()
        if container.status == "paused":
            raise ObjectConflict(f"Container {container.name} is paused, unpause the container before exec")
        self._count += 1
        exec_id = hashlib.sha256(f"exec {self._count}".encode()).hexdigest()
        process = Process(self.around.clock, self.around.changed, has_tty=bool(settings.get("Tty")))
        if not settings.get("AttachStdin"):
            process.close_input()
        created = self._execs[exec_id] = Exec(exec_id, container, dict(settings), process)
        container.exec_ids.append(exec_id)
        container.note(f"exec_create: {' '.join(created.command)}", execID=exec_id)
        return created

    def find(self, exec_id: str) -> Exec:
        """Return a command.

        :raises NoSuchObject: there is none, or its container is gone.
        """
        if exec_id not in self._execs:
            raise NoSuchObject(f"No such exec instance: {exec_id}")
        return self._execs[exec_id]

    def start(self, command: Exec) -> None:
        """Run a command as the rules of the test say. Without a rule it ends at once with 0.

        :raises ObjectConflict: it runs or has run, or its container does not run.
        """
        if command.has_started:
            raise ObjectConflict(f"Error: Exec command {command.id} has already run")
        container = command.container
        if not container.is_running:
            raise EngineError(f"Container {container.id} is not running")
        command.has_started = True
        container.note(f"exec_start: {' '.join(command.command)}", execID=command.id)
        behaviours = self.around.behaviours
        found = behaviours.find(behaviours.of_execs, container.image_names, command.command)
        if found is None:
            command.process.end(0)
        elif found.program is None:
            found.act_in(command.process, self.around.clock.time_s())
        else:
            run = Run(
                command.process,
                command.command,
                command.environment,
                user=str(command.settings.get("User") or container.config.get("User") or ""),
                working_folder=str(
                    command.settings.get("WorkingDir") or container.config.get("WorkingDir") or ""
                ),
                image=container.image_name,
                container=container.name,
                files=container.files,
            )
            self.around.programs.start(found.program, run, command.process)
        command.process.settle()

    def document(self, command: Exec) -> dict[str, Any]:
        """Return a command as clients read it."""
        command.process.settle()
        is_running = command.has_started and not command.process.has_ended
        words = command.command
        return {
            "ID": command.id,
            "Running": is_running,
            "ExitCode": command.process.exit_code,
            "ProcessConfig": {
                "tty": command.has_tty,
                "entrypoint": words[0] if words else "",
                "arguments": words[1:],
                "privileged": bool(command.settings.get("Privileged")),
                **({"user": str(command.settings["User"])} if command.settings.get("User") else {}),
            },
            "OpenStdin": bool(command.settings.get("AttachStdin")),
            "OpenStderr": bool(command.settings.get("AttachStderr")),
            "OpenStdout": bool(command.settings.get("AttachStdout")),
            "CanRemove": command.process.has_ended,
            "ContainerID": command.container.id,
            "DetachKeys": "",
            "Pid": 4000 if is_running else 0,
        }

    def forget(self, container_id: str) -> None:
        """End and remove the commands of a container."""
        for exec_id, command in list(self._execs.items()):
            if command.container.id == container_id:
                command.process.end(137)
                del self._execs[exec_id]

    def close(self) -> None:
        """End all commands."""
        for command in self._execs.values():
            command.process.end(137)
