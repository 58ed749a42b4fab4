"""What happened to images, containers, networks and volumes, and who waits for it (remote.md 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Condition
from typing import Any, Final

from v1registry.clock import Clock

from .filters import Filters

#: The events that are kept for ``since``, as in docker.
_KEPT: Final = 256


@dataclass(frozen=True)
class Event:
    """One event: ``create`` of type ``container`` with the id of the container, and the like."""

    kind: str
    action: str
    actor_id: str
    attributes: Mapping[str, str]
    time_ns: int

    def document(self) -> dict[str, Any]:
        """Return the event as clients get it."""
        document: dict[str, Any] = {}
        if self.kind in ("container", "image"):
            # the keys of API versions before 1.22, which are still there
            document |= {"status": self.action, "id": self.actor_id}
            if "image" in self.attributes:
                document["from"] = self.attributes["image"]
        return document | {
            "Type": self.kind,
            "Action": self.action,
            "Actor": {"ID": self.actor_id, "Attributes": dict(self.attributes)},
            "scope": "local",
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }

    def matches(self, filters: Filters) -> bool:
        """Tell whether the event is one that a client asked for."""
        name = self.attributes.get("name", "")
        if self.kind == "container":
            image = self.attributes.get("image", "")
        else:
            image = self.actor_id
        return (
            filters.allows("type", self.kind)
            and filters.allows("scope", "local")
            and filters.allows("event", self.action, self.action.partition(":")[0])
            and filters.allows_labels(self.attributes)
            and (not filters.get("container") or self._is("container", filters, name))
            and (not filters.get("network") or self._is("network", filters, name))
            and (not filters.get("volume") or self._is("volume", filters, name))
            and filters.allows("image", image, image.rpartition(":")[0])
            and not any(
                filters.get(kind) for kind in ("config", "daemon", "node", "plugin", "secret", "service")
            )
        )

    def _is(self, kind: str, filters: Filters, name: str) -> bool:
        return self.kind == kind and any(
            value in (self.actor_id, name) or (len(value) >= 12 and self.actor_id.startswith(value))
            for value in filters.get(kind)
        )


class EventLog:
    """The events of an engine in their order. Safe for threads.

    :param settle: does what is due by the clock, which may cause events.
    """

    def __init__(self, clock: Clock, settle: Callable[[], None]):
        self._clock = clock
        self._settle = settle
        self._events: list[Event] = []
        self._first = 0  # the number of the first event that is kept
        self._changed = Condition()
        self._is_closed = False

    def add(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str]) -> None:
        """Note an event, and wake those who wait for one."""
        time_ns = int(self._clock.time_s() * 1_000_000) * 1000
        with self._changed:
            self._events.append(Event(kind, action, actor_id, dict(attributes), time_ns))
            if len(self._events) > _KEPT:
                self._first += len(self._events) - _KEPT
                del self._events[:-_KEPT]
            self._changed.notify_all()

    def listen(
        self, since_s: float | None, until_s: float | None, is_over: Callable[[], bool] = lambda: False
    ) -> Iterator[Event | None]:
        """Yield past events from ``since_s`` on, then new ones. None is yielded now and then between them.

        :param since_s: seconds since the epoch; None for new events only.
        :param until_s: when to stop; None for never.
        :param is_over: tells that the client is gone.
        """
        with self._changed:
            position = self._first if since_s is not None else self._first + len(self._events)
        while not is_over():
            self._settle()
            with self._changed:
                number = max(position, self._first)
                found = self._events[number - self._first :]
                position = self._first + len(self._events)
                is_closed = self._is_closed
                if not found and not is_closed and (until_s is None or self._clock.time_s() < until_s):
                    self._changed.wait(0.05)
            for event in found:
                event_s = event.time_ns / 1e9
                if (since_s is None or event_s >= since_s) and (until_s is None or event_s <= until_s):
                    yield event
            if is_closed or (until_s is not None and self._clock.time_s() >= until_s):
                return
            yield None

    def close(self) -> None:
        """End all that wait for events."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
