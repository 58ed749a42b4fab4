"""The registry for any WSGI server, with settings from the environment. See servers/ for commands."""

from v1registry import Registry

application = Registry.from_environment()
