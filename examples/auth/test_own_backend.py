"""The contract of backends for own_backend.py.

From the project's folder:

    pytest examples/auth/test_own_backend.py
"""

import pytest
from own_backend import Staff
from v1registry_fakes.contracts import LookupContract

from v1registry.accounts import Passwords


class TestStaff(LookupContract):
    username = "mira"
    password = "correct horse"

    @pytest.fixture
    def backend(self):
        cheap = Passwords(memory_kib=8, passes=1)
        return Staff({"mira": cheap.hash("correct horse"), "zoe": cheap.hash("battery staple")}, cheap)
