"""Users that the surrounding application has logged in.

The application puts the user into the WSGI environ, preferably under its own key, which clients cannot set.
From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 surrounding_application

and then, as a script with a session:

    curl -H "X-Session: 4711" http://127.0.0.1:5000/
    curl -H "X-Session: 4711" -H "X-Docker-Token: true" -d "[]" \
        -X PUT http://127.0.0.1:5000/v1/repositories/tools/app/
"""

import os

from v1registry import Registry
from v1registry.accounts import Environ

SESSIONS = {"4711": ("mira", ["tools", "web"])}


def page(environ, start_response):
    """Answer requests that are not for the registry."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello {environ['site.user'] or 'stranger'}\n".encode()]


users = Environ("site.user", groups="site.groups")
registry = Registry(storage=os.environ["V1REGISTRY_STORAGE"], auth=users).in_front_of(page)


def application(environ, start_response):
    """Find the session of a request, and pass the request on."""
    name, groups = SESSIONS.get(environ.get("HTTP_X_SESSION"), ("", []))
    environ["site.user"], environ["site.groups"] = name, groups
    return registry(environ, start_response)
