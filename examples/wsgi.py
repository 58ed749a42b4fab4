"""The registry for any WSGI server, with settings from the environment. Commands for servers are in servers/."""

from v1registry import Registry

application = Registry.from_environment()
