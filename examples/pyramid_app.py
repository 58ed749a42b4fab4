"""A Pyramid application behind a registry: /v1/ is the registry's, all other paths are Pyramid's.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples \
        waitress-serve --listen=127.0.0.1:5000 pyramid_app:application
"""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from v1registry import Registry


def home(request: Request) -> Response:
    return Response("Hello from Pyramid", content_type="text/plain")


with Configurator() as config:
    config.add_route("home", "/")
    config.add_view(home, route_name="home")
    app = config.make_wsgi_app()

registry = Registry.from_environment()
application = registry.in_front_of(app)
