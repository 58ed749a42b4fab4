"""A Django project in one file, behind a registry: /v1/ is the registry's, all other paths are Django's.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry \
        gunicorn --chdir examples --threads 16 --bind 127.0.0.1:5000 django_app

Django's own ``runserver`` does not work: it does not decode the chunked bodies of engines, so the registry
answers 411.
"""

import os

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from v1registry import Registry


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django")


urlpatterns = [path("", home)]

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
)
django.setup()

registry = Registry.from_environment()
application = registry.in_front_of(WSGIHandler())
