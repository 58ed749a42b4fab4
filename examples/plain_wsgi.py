"""Two ways to serve a registry beside plain WSGI: in front of an application, and below a prefix.

Engines always request /v1/ at the root of a host, which ``in_front_of`` serves. Browsers, scripts and proxies
that strip the prefix can use the same registry below any path, here /registry.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples \
        gunicorn --threads 64 --bind 127.0.0.1:5000 plain_wsgi
"""

from v1registry import Registry

PREFIX = "/registry"

registry = Registry.from_environment()


def site(environ, start_response):
    """The application behind the registry."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from WSGI"]


def below_prefix(environ, start_response):
    """Pass requests below the prefix to the registry. The prefix moves to SCRIPT_NAME (PEP 3333)."""
    path = environ["PATH_INFO"]
    if path == PREFIX or path.startswith(PREFIX + "/"):
        environ["SCRIPT_NAME"] += PREFIX
        environ["PATH_INFO"] = path[len(PREFIX) :]
        return registry(environ, start_response)
    return site(environ, start_response)


application = registry.in_front_of(below_prefix)
