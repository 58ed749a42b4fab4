"""What a terminal does: line ends of output, and the keys that detach a client (remote.md 6.3, 6.4)."""

from __future__ import annotations

from typing import Final

from .errors import InvalidParameter

#: Ctrl-p and ctrl-q.
DEFAULT_KEYS: Final = b"\x10\x11"

_CONTROLS: Final = {f"ctrl-{chr(96 + code)}": code for code in range(1, 27)} | {
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
    "DEL": 127,
}


def detach_keys(text: str | None) -> bytes:
    r"""Return the bytes of keys such as ``ctrl-p,ctrl-q`` or ``a,b``.

    :raises InvalidParameter: a key is unknown; the message is docker's.

    >>> detach_keys("ctrl-x,q"), detach_keys(None)
    (b'\x18q', b'\x10\x11')
    """
    if not text:
        return DEFAULT_KEYS
    found = bytearray()
    for key in text.split(","):
        code = _CONTROLS.get(key, ord(key) if len(key) == 1 else 256)
        if code > 255:
            raise InvalidParameter(f"Invalid detach keys ({text[:80]}) provided")
        found.append(code)
    return bytes(found)


class Detachment:
    """Looks for the keys in what a client types.

    :param keys: in this order they detach the client; empty if none do.
    """

    def __init__(self, keys: bytes):
        self._keys = keys
        self._seen = 0
        self.is_done = False  #: whether the client typed them

    def passed(self, data: bytes) -> bytes:
        """Return what of the input is for the process. Keys that may detach are held back."""
        if not self._keys:
            return data
        passed = bytearray()
        for code in data:
            if code == self._keys[self._seen]:
                self._seen += 1
                if self._seen == len(self._keys):
                    self.is_done = True
                    break
                continue
            passed += self._keys[: self._seen]
            self._seen = 0
            if code == self._keys[0] and len(self._keys) > 1:
                self._seen = 1
            else:
                passed.append(code)
        return bytes(passed)


def as_terminal(data: bytes) -> bytes:
    r"""Return output as a terminal shows it.

    >>> as_terminal(b"one\n")
    b'one\r\n'
    """
    return data.replace(b"\n", b"\r\n")
