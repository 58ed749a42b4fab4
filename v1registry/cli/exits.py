"""Exit codes of the command line, and how a command reports that it failed."""

from __future__ import annotations

import sys
from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
REFUSED: Final = 4
NOT_FOUND: Final = 5
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

#: The end of ``v1registry --help``.
EXIT_CODES_HELP: Final = """\
exit codes:
  0    done
  1    failed on the way; the message says where, and the same command continues from there
  2    the command line, a setting or the archive is invalid; nothing was changed
  3    the registry or the storage cannot be reached, or cannot answer now
  4    the registry requires other credentials, or the user lacks the right
  5    the registry or the storage does not have what the command names
  130  interrupted by Ctrl-C
  141  the reader of the output ended before it was complete
"""


class CommandFailed(Exception):
    """A command cannot go on. ``main`` prints the text to standard error and exits with ``code``."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


def complain(text: str) -> None:
    """Print a warning or an error to standard error."""
    print(f"v1registry: {text}", file=sys.stderr)
