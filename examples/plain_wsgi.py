"""Two ways to serve a registry beside plain WSGI: in front of an application, and below a prefix.

Engines always ask for /v1/ at the root of a host: ``in_front_of`` gives them that. Browsers, scripts and proxies that
strip the prefix can use the same registry below a path of your choice, here /registry.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples granian --interface wsgi --port 5000 --blocking-threads 64 plain_wsgi:application
"""

from v1registry import Registry

PREFIX = "/registry"

registry = Registry.from_environment()


def site(environ, start_response):
    """The application that was there before."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from WSGI"]


def below_prefix(environ, start_response):
    """Give what is below the prefix to the registry, as the WSGI standard says: the prefix moves to SCRIPT_NAME."""
    path = environ["PATH_INFO"]
    if path == PREFIX or path.startswith(PREFIX + "/"):
        environ["SCRIPT_NAME"] += PREFIX
        environ["PATH_INFO"] = path[len(PREFIX) :]
        return registry(environ, start_response)
    return site(environ, start_response)


application = registry.in_front_of(below_prefix)
