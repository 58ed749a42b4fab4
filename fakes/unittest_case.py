"""A base class for tests of unittest that need a registry."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, ClassVar

from .registry import FakeRegistry
from .server import LiveServer

if TYPE_CHECKING:
    from .options import FakeOptions


class RegistryTestCase(unittest.TestCase):
    """A test case with an empty registry for each test: :attr:`registry`.

    A test fails at its end if the registry had an unexpected error. The tests of a class share one live port,
    which starts at the first use. A ``setUp`` or ``setUpClass`` of your own must call that of this class.
    Combine it with ``unittest.IsolatedAsyncioTestCase`` for async tests:
    ``class TestIt(RegistryTestCase, unittest.IsolatedAsyncioTestCase)``.

    >>> class TestTags(RegistryTestCase):
    ...     registry_options = {"auth": "users:"}
    ...
    ...     def test_tag(self):
    ...         image = self.registry.add_image("alice/app:1.0")
    ...         self.assertEqual(self.registry.tags("alice/app"), {"1.0": image.id})
    >>> suite = unittest.defaultTestLoader.loadTestsFromTestCase(TestTags)
    >>> suite.run(unittest.TestResult())
    <unittest.result.TestResult run=1 errors=0 failures=0>
    """

    #: Options of the registry, such as ``{"auth": "users:", "tls": True}``.
    registry_options: ClassVar[FakeOptions] = {}

    registry: FakeRegistry  #: the registry of the running test

    _server: ClassVar[LiveServer]

    @classmethod
    def setUpClass(cls) -> None:
        """Make the live port of the class."""
        super().setUpClass()
        cls._server = LiveServer(tls=cls.registry_options.get("tls", False))
        cls.addClassCleanup(cls._server.stop)

    def setUp(self) -> None:
        """Make the registry of the test."""
        super().setUp()
        options = self.registry_options.copy()
        options.pop("tls", None)
        self.registry = FakeRegistry(server=self._server, **options)
        self.addCleanup(self.registry.check)
        self.addCleanup(self.registry.close)
