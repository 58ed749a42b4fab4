"""``python -m v1registry_fakes``: a registry for the tests of programs in any language."""

from __future__ import annotations

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
