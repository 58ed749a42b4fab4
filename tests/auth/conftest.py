"""What the tests of users share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("v1registry_fakes.auth_contracts")
