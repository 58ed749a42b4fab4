"""What a fault does to a request: checked values, and how those of several faults combine."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from v1registry.errors import RegistryError

#: The body of an answer: bytes, text, or a value that is sent as JSON.
Body = bytes | str | Mapping[str, object] | Sequence[object]

#: What is wrong with the storage.
StorageFault = Literal["full", "unavailable"]

_WHOLE_NUMBERS = ("status", "retry_after_s", "bytes_per_second", "cut_after_bytes", "corrupt_byte")
_SWITCHES = ("html", "wrong_checksum", "expired_token", "stale", "refuse_connection")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, kw_only=True)
class FaultEffects:
    """What happens to a request. The parameters are those of :meth:`FakeRegistry.fail`.

    :raises ValueError: there is no effect, or values are invalid or contradict each other. The text lists
        every problem.
    """

    status: int | None = None
    error: str | RegistryError | None = None
    body: Body | None = None
    html: bool = False
    retry_after_s: int | None = None
    delay_s: float | None = None
    bytes_per_second: int | None = None
    cut_after_bytes: int | None = None
    corrupt_byte: int | None = None
    wrong_checksum: bool = False
    headers: Mapping[str, str | None] | None = None
    doubled_header: str | None = None
    expired_token: bool = False
    redirect: str | None = None
    stale: bool = False
    storage: StorageFault | None = None
    refuse_connection: bool = False

    def __post_init__(self) -> None:
        # values of other types would fail in the checks that compare them
        problems = self._problems_of_types() or [
            *self._problems_of_answers(),
            *self._problems_of_transfers(),
            *self._problems_of_headers(),
        ]
        if not problems and not self._given():
            problems.append("fail() needs an effect, such as status=500, delay_s=30 or cut_after_bytes=0")
        if problems:
            raise ValueError("\n".join(problems))

    def _problems_of_types(self) -> list[str]:
        problems = [
            *(
                f"{name} must be a whole number, not {getattr(self, name)!r}"
                for name in _WHOLE_NUMBERS
                if getattr(self, name) is not None and not is_whole_number(getattr(self, name))
            ),
            *(
                f"{name} must be True or False, not {getattr(self, name)!r}"
                for name in _SWITCHES
                if not isinstance(getattr(self, name), bool)
            ),
            *(
                f"{name} must be text, not {getattr(self, name)!r}"
                for name in ("doubled_header", "redirect")
                if not isinstance(getattr(self, name), (str, type(None)))
            ),
        ]
        if not isinstance(self.error, (str, RegistryError, type(None))):
            problems.append(f"error must be text or a RegistryError, not {self.error!r}")
        if self.delay_s is not None and not is_finite_number(self.delay_s):
            problems.append(f"delay_s must be a finite number of seconds, not {self.delay_s!r}")
        if not _is_sendable(self.body):
            problems.append(
                f"body must be bytes, text in Unicode or a value of JSON, not {_shortened(repr(self.body))}"
            )
        if not isinstance(self.headers, (Mapping, type(None))):
            return [*problems, f"headers must be a mapping of names to values, not {self.headers!r}"]
        return [
            *problems,
            *(
                f"headers must map text to text or None, not {name!r} to {value!r}"
                for name, value in (self.headers or {}).items()
                if not (isinstance(name, str) and isinstance(value, (str, type(None))))
            ),
        ]

    def _problems_of_answers(self) -> list[str]:
        problems = []
        if self.status is not None and not 200 <= self.status <= 599:
            problems.append(f"status must be from 200 to 599, not {self.status!r}")
        if isinstance(self.error, str) and (self.status is None or self.status < 400):
            problems.append("error is the text of an answer with a status of 400 or more: give that too")
        if isinstance(self.error, RegistryError) and self.status not in (None, self.error.status):
            problems.append(f"error has the status {self.error.status}, so status must not be {self.status}")
        if self.html and (self.error is not None or self.body is not None):
            problems.append("html is a whole page: error and body exclude it")
        if self.redirect is not None and (self.error is not None or self.html):
            problems.append("redirect excludes error and html")
        if self.redirect is not None and self.status is not None and not 300 <= self.status <= 399:
            problems.append(f"the status of a redirect must be from 300 to 399, not {self.status}")
        if self.storage not in (None, "full", "unavailable"):
            problems.append(f"storage must be 'full' or 'unavailable', not {self.storage!r}")
        return problems

    def _problems_of_transfers(self) -> list[str]:
        problems = []
        if self.retry_after_s is not None and self.retry_after_s < 0:
            problems.append(f"retry_after_s must be 0 or more, not {self.retry_after_s!r}")
        if self.delay_s is not None and self.delay_s < 0:
            problems.append(f"delay_s must be 0 or more, not {self.delay_s!r}")
        if self.bytes_per_second is not None and self.bytes_per_second <= 0:
            problems.append(f"bytes_per_second must be above 0, not {self.bytes_per_second!r}")
        if self.cut_after_bytes is not None and self.cut_after_bytes < 0:
            problems.append(f"cut_after_bytes must be 0 or more, not {self.cut_after_bytes!r}")
        return problems

    def _problems_of_headers(self) -> list[str]:
        given = dict(self.headers or {})
        names = [*given, *([] if self.doubled_header is None else [self.doubled_header])]
        values = [value for value in (*given.values(), self.redirect) if value is not None]
        return [
            *(f"a header must have a name, not {name!r}" for name in names if not is_header_name(name)),
            *(
                f"a header must be one line of Latin-1, not {value!r}"
                for value in values
                if not is_line(value)
            ),
        ]

    def _given(self) -> dict[str, object]:
        """Return the effects that are given, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def __str__(self) -> str:
        """Return the effects as keywords, such as ``status=500, delay_s=3``."""
        return ", ".join(f"{name}={_shortened(repr(value))}" for name, value in self._given().items())

    # -- what they mean for the answer

    @property
    def is_own_answer(self) -> bool:
        """Whether the answer comes from the fault alone, so that the registry does not see the request."""
        return self.html or self.redirect is not None

    @property
    def gives_answer(self) -> bool:
        """Whether the fault decides the status. Of several faults the first one does."""
        return self.is_own_answer or self.error is not None or self.status is not None

    @property
    def is_failure(self) -> bool:
        """Whether the registry answers with an error of its own."""
        return self.error is not None or (self.status is not None and self.status >= 400)


def decisive_of(effects: Iterable[FaultEffects]) -> FaultEffects | None:
    """Return the effects that decide the status of an answer: the first ones that have one."""
    return next((found for found in effects if found.gives_answer), None)


def is_whole_number(value: object) -> bool:
    """Tell whether a value is an int; True and False are none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite_number(value: object) -> bool:
    """Tell whether a value is an int or a finite float."""
    return is_whole_number(value) or (isinstance(value, float) and math.isfinite(value))


def _is_sendable(body: object) -> bool:
    """Tell whether a value can be the body of an answer."""
    try:
        if isinstance(body, str):
            body.encode()
        elif not isinstance(body, bytes):
            json.dumps(body)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def is_header_name(name: str) -> bool:
    """Tell whether text can be the name of a header."""
    return _HEADER_NAME.fullmatch(name) is not None


def is_line(value: str) -> bool:
    """Tell whether text can be the value of a header."""
    return value.isprintable() and all(ord(character) < 256 for character in value)


def status_line(status: int) -> str:
    """Return a status with its phrase.

    >>> status_line(503), status_line(599)
    ('503 Service Unavailable', '599 Unknown')
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
