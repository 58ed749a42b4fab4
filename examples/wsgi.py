"""The registry for any WSGI server, with its settings from the environment. Servers that run it are in servers/."""

from v1registry import Registry

application = Registry.from_environment()
