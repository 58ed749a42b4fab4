"""The parameter ``filters`` of lists, prunes and events (remote.md 1.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InvalidFilter, InvalidParameter


@dataclass(frozen=True)
class Filters:
    """The parameter ``filters``: name -> values. Objects match that have one value of each name."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, known: frozenset[str] | None) -> Filters:
        """Return the filters of a request.

        :param text: ``{"label": ["a=b"]}``, or ``{"label": {"a=b": true}}`` as older clients write it.
        :param known: the names that the endpoint has; None if it ignores others.
        :raises InvalidParameter: the text is invalid, or a name is unknown.
        """
        if not text:
            return cls()
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidParameter(f"invalid filter: {error}") from None
        if not isinstance(parsed, dict):
            raise InvalidParameter("invalid filter: must be an object")
        values: dict[str, tuple[str, ...]] = {}
        for name, given in parsed.items():
            if known is not None and name not in known:
                raise InvalidFilter(f"invalid filter '{name}'")
            if not isinstance(given, (list, dict)) or not all(isinstance(value, str) for value in given):
                raise InvalidParameter(f"invalid filter '{name}': must be a list of strings")
            if isinstance(given, dict) and not all(isinstance(is_on, bool) for is_on in given.values()):
                raise InvalidParameter(f"invalid filter '{name}': must be true or false for each value")
            chosen = given if isinstance(given, list) else [value for value, is_on in given.items() if is_on]
            values[name] = tuple(chosen)
        return cls(values)

    def get(self, name: str) -> tuple[str, ...]:
        """Return the values of a name, none if it is missing."""
        return self.values.get(name, ())

    def boolean(self, name: str) -> bool | None:
        """Return the value of a name that is true or false, None if it is missing.

        :raises InvalidParameter: the value is neither.
        """
        given = self.get(name)
        if not given:
            return None
        known = {"true": True, "1": True, "false": False, "0": False}
        if given[0].lower() not in known:
            raise InvalidFilter(f"invalid filter '{name}=[{' '.join(given)}]'")
        return known[given[0].lower()]

    def allows(self, name: str, *own: str) -> bool:
        """Tell whether a name is missing, or one of its values is among the object's own."""
        given = self.get(name)
        return not given or any(value in own for value in given)

    def allows_labels(self, labels: Mapping[str, str], name: str = "label") -> bool:
        """Tell whether labels have all that the filter asks for: ``KEY`` or ``KEY=VALUE``."""
        for wanted in self.get(name):
            key, has_value, value = wanted.partition("=")
            if key not in labels or (has_value and labels[key] != value):
                return False
        return True

    def forbids_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels have one of those in ``label!``."""
        return any(
            key in labels and (not has_value or labels[key] == value)
            for key, has_value, value in (wanted.partition("=") for wanted in self.get("label!"))
        )

    def with_value(self, name: str, value: str) -> Filters:
        """Return the same filters with one more value."""
        return Filters({**self.values, name: (*self.get(name), value)})
