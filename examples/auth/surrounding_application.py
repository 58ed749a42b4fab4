"""Users whom the application around has logged in already.

The application leaves in the WSGI environ who it is. A key of its own is best: no client can set it.
From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth granian --interface wsgi --port 5000 --blocking-threads 64 surrounding_application:application

and then, as what the session of a script may be:

    curl -H "X-Session: 4711" http://127.0.0.1:5000/
    curl -H "X-Session: 4711" -H "X-Docker-Token: true" -d "[]" -X PUT http://127.0.0.1:5000/v1/repositories/tools/app/
"""

import os

from v1registry import Registry
from v1registry.accounts.backends.environ import Environ

SESSIONS = {"4711": ("mira", ["tools", "web"])}


def page(environ, start_response):
    """What the application shows where nothing is the registry's."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello {environ['site.user'] or 'somebody'}\n".encode()]


users = Environ("site.user", groups="site.groups")
registry = Registry(storage=os.environ["V1REGISTRY_STORAGE"], auth=users).in_front_of(page)


def application(environ, start_response):
    """The application, which knows its sessions."""
    name, groups = SESSIONS.get(environ.get("HTTP_X_SESSION"), ("", []))
    environ["site.user"], environ["site.groups"] = name, groups
    return registry(environ, start_response)
