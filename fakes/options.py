"""The options of a fake as a type, for dictionaries of them."""

from __future__ import annotations

from v1registry.settings import RegistryOptions

from .profiles import ProfileName


class FakeOptions(RegistryOptions, total=False):
    """The options of FakeRegistry: all settings of a registry, and those of the fake itself.

    It is the type for the fixture ``v1registry_options`` and for ``RegistryTestCase.registry_options``.
    """

    tls: bool  #: whether the live port uses https
    profile: ProfileName | None  #: the registry in whose ways the fake answers
