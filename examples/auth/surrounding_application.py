"""Users whom the application around has logged in already.

The application leaves in the WSGI environ who it is. A key of its own is best: no client can set it.
From the project's folder, and then http://127.0.0.1:8000/?session=4711 in a browser:

    python examples/auth/surrounding_application.py
"""

from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

from v1registry.auth.environ import Environ

SESSIONS = {"4711": ("mira", ["tools", "web"])}

backend = Environ("site.user", groups="site.groups")


def page(environ, start_response):
    """What stands behind the application: it only asks the backend."""
    user = backend.user(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{user.name} of {', '.join(sorted(user.groups))}\n".encode() if user else b"somebody\n"]


def application(environ, start_response):
    """The application, which knows its sessions."""
    session = parse_qs(environ["QUERY_STRING"]).get("session", [""])[0]
    name, groups = SESSIONS.get(session, ("", []))
    return page(environ | {"site.user": name, "site.groups": groups}, start_response)


if __name__ == "__main__":
    make_server("127.0.0.1", 8000, application).serve_forever()
