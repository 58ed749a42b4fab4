"""What simulated containers and commands in them do: the rules of a test (remote.md 5.1)."""

from __future__ import annotations

import math
import shlex
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .files import Files, contents, entry_of
from .processes import Process, StreamName

_MOST_EXIT_CODE = 255

#: A line of output: text or bytes for standard output, or a pair of stream and text.
LogLine = str | bytes | tuple[StreamName, str | bytes]


class Run:
    """The run of a container or a command, as a function of the test sees it.

    :param command: program and arguments.
    :param environment: the variables.
    :param user: as the client or the image says it, empty for root.
    :param working_folder: the current folder, empty for ``/``.
    :param image: the name of the image, as the client gave it.
    :param container: the name of the container.
    :param files: those of the container.
    """

    def __init__(
        self,
        process: Process,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str,
        working_folder: str,
        image: str,
        container: str,
        files: Files,
    ):
        self._process = process
        self._files = files
        self.image = image
        self.container = container
        self.command = list(command)
        self.environment = dict(environment)
        self.user = user
        self.working_folder = working_folder

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the container now: path with a slash in front -> content."""
        with self._process.changed:
            return contents(self._files)

    def write_file(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the container. Folders above it need not exist.

        :param path: from the root, such as ``/srv/report.xml``.
        """
        info = tarfile.TarInfo(path.lstrip("/"))
        data = _data(content)
        info.size, info.mode, info.mtime = len(data), mode, int(self._process.clock.time_s())
        with self._process.changed:
            self._files.put(path, entry_of(info, data))

    def out(self, text: str | bytes) -> None:
        """Write to standard output."""
        self._process.write("stdout", _data(text))

    def err(self, text: str | bytes) -> None:
        """Write to standard error."""
        self._process.write("stderr", _data(text))

    def input(self) -> Iterator[bytes]:
        """Yield what attached clients send to standard input, until they close it or the run is stopped."""
        return self._process.input()

    def wait(self, seconds: float) -> bool:
        """Wait on the clock of the engine. Return False if the run was stopped meanwhile."""
        return self._process.wait_for(seconds)

    @property
    def is_stopped(self) -> bool:
        """Whether the container was stopped or killed."""
        return self._process.has_ended

    def __repr__(self) -> str:
        return f"<Run of {shlex.join(self.command)} in {self.container}>"


#: Does what a container does, and returns its exit code; None is 0.
Program = Callable[[Run], "int | None"]


@dataclass(frozen=True)
class Behaviour:
    """One rule.

    :param image: a pattern of the name or the id of the image; ``*`` stands for any text. A pattern without
        a tag matches every tag.
    :param command: a pattern of the command line, or the list of program and arguments; None matches all.
    :param exit_code: None if the run does not end by itself.
    :param after_s: when the run ends, in seconds of the engine's clock.
    """

    image: str
    command: str | tuple[str, ...] | None = None
    logs: tuple[LogLine, ...] = ()
    exit_code: int | None = None
    after_s: float = 0.0
    program: Program | None = field(default=None, compare=False)

    def matches(self, names: Sequence[str], command: Sequence[str]) -> bool:
        """Tell whether the rule is for an image and a command.

        :param names: the names and the id of the image.
        """
        without_tags = [name.rpartition(":")[0] for name in names if ":" in name.rpartition("/")[2]]
        if not any(fnmatchcase(name, self.image) for name in (*names, *without_tags)):
            return False
        if self.command is None:
            return True
        if isinstance(self.command, tuple):
            return tuple(command) == self.command
        return fnmatchcase(shlex.join(command), self.command)

    def act_in(self, process: Process, started_s: float) -> None:
        """Write the logs into a process, and let it end as the rule says.

        :param started_s: when the process began.
        """
        for line in self.logs:
            process.write(*output_of(line), at_s=started_s)
        if self.exit_code is not None:
            process.end_later(started_s + self.after_s, self.exit_code)


@dataclass
class Behaviours:
    """All rules of an engine. A later rule has precedence."""

    of_runs: list[Behaviour] = field(default_factory=list)
    of_execs: list[Behaviour] = field(default_factory=list)

    def find(
        self, rules: Sequence[Behaviour], names: Sequence[str], command: Sequence[str]
    ) -> Behaviour | None:
        """Return the last rule for an image and a command, None if there is none."""
        return next((rule for rule in reversed(rules) if rule.matches(names, command)), None)


def rule(
    image: str,
    command: str | Sequence[str] | None,
    logs: Sequence[LogLine],
    exit_code: int | None,
    after_s: float,
    program: Program | None,
) -> Behaviour:
    """Return a rule.

    :raises TypeError: a value has another type, or a program is given together with what it would do.
    :raises ValueError: the image is empty, or the time or the exit code is out of range.
    """
    if not isinstance(image, str) or not image:
        raise ValueError(f"image must be a pattern of a name such as 'alice/app:1.0', not {image!r}")
    if program is not None and not callable(program):
        raise TypeError(f"program must be a function that gets a Run, not {program!r}")
    if isinstance(logs, (str, bytes)):
        raise TypeError(f"logs must be a list of lines, not {logs!r}")
    lines = tuple(logs)
    for line in lines:
        _check_line(line)
    if exit_code is not None:
        check_exit_code(exit_code)
    if program is not None and (lines or after_s):
        raise TypeError(
            "a program writes its own logs and ends itself: give either program, or logs and after_s"
        )
    if not 0 <= after_s < math.inf:
        raise ValueError(f"after_s must be 0 or more, not {after_s}")
    chosen = command if command is None or isinstance(command, str) else tuple(command)
    return Behaviour(image, chosen, lines, exit_code, after_s, program)


def _check_line(line: object) -> None:
    """Return if a line of output is valid.

    :raises TypeError: it is not.
    """
    is_pair = isinstance(line, tuple) and len(line) == 2 and line[0] in ("stdout", "stderr")
    if not isinstance(line[1] if isinstance(line, tuple) and is_pair else line, (str, bytes)):
        raise TypeError(
            f"a line of logs must be text, bytes or a pair such as ('stderr', 'failed'), not {line!r}"
        )


def check_exit_code(code: object) -> int:
    """Return an exit code.

    :raises TypeError: it is no whole number.
    :raises ValueError: it is out of range.
    """
    if not isinstance(code, int):
        raise TypeError(f"an exit code must be a whole number, not {code!r}")
    if not 0 <= code <= _MOST_EXIT_CODE:
        raise ValueError(f"an exit code must be from 0 to {_MOST_EXIT_CODE}, not {code}")
    return code


def output_of(line: LogLine) -> tuple[StreamName, bytes]:
    """Return stream and bytes of a line. A text without a line feed gets one.

    >>> output_of("ready"), output_of(("stderr", b"raw"))
    (('stdout', b'ready\\n'), ('stderr', b'raw'))
    """
    stream: StreamName = "stdout"
    text = line
    if isinstance(text, tuple):
        stream, text = text
    if isinstance(text, str) and not text.endswith("\n"):
        text += "\n"
    return stream, _data(text)


def _data(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
