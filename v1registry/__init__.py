"""A Docker Registry API v1 and Docker Hub (Index) API v1, as an embeddable WSGI application.

>>> from v1registry import MemoryStorage, Registry
>>> app = Registry(storage=MemoryStorage())
"""

from .app import Registry
from .clock import Clock
from .errors import RegistryError
from .settings import Settings, SettingsError
from .storage import FileStorage, MemoryStorage, Storage
from .version import __version__

__all__ = [
    "Clock",
    "FileStorage",
    "MemoryStorage",
    "Registry",
    "RegistryError",
    "Settings",
    "SettingsError",
    "Storage",
    "__version__",
]
