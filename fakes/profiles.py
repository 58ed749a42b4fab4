"""Profiles: a fake that answers in the ways of another registry, as far as its answers are known.

The facts are those of docs/protocol: recordings of docker-registry 0.6.9 and 0.9.1, and the sources and
documents of quay and Docker Hub. What is not known there stays as the registry answers by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from v1registry.settings import SettingsError
from v1registry.wsgi.request import USER_KEY

from .faults.answers import Answer, answer_of, send
from .faults.effects import status_line
from .faults.failing_registry import FAILURE_KEY
from .old_registries import html_page, old_range, redirect_to_slash
from .recording.recorder import RECORD_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from v1registry.settings import RegistryOptions

    from .recording.recorded_request import RecordedRequest

#: The registries whose answers are known.
ProfileName = Literal["docker-registry-0.6", "docker-registry-0.9.1", "quay", "hub"]

#: The routes of the Hub API to which docker-registry gives tokens unasked (hub.md 4.2).
_WITH_TOKEN: Final = ("put_repository", "get_images", "put_images", "delete_images")


class Profile:
    """What another registry does in its own way. This base changes nothing."""

    options: ClassVar[RegistryOptions] = {}  #: settings, unless the test gives others

    def before(self, environ: dict[str, Any], request: RecordedRequest) -> Answer | None:
        """Change a request, or answer it. None lets the registry answer."""
        return None

    def after(self, environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
        """Change an answer of the registry."""


class _DockerRegistry(Profile):
    """What docker-registry 0.6 and 0.9.1 have in common."""

    options: ClassVar[RegistryOptions] = {"v2": "absent", "pages": "off", "search_names": "long"}

    def before(self, environ: dict[str, Any], request: RecordedRequest) -> Answer | None:
        if request.route in _WITH_TOKEN:
            environ["HTTP_X_DOCKER_TOKEN"] = "true"  # noqa: S105  tokens are issued unasked (hub.md 4.2)
        if request.route == "get_search":
            environ["QUERY_STRING"] = _without(environ["QUERY_STRING"], ("n", "page"))  # registry.md 9
        return redirect_to_slash(environ, request)

    def after(self, environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
        for name in ("X-Request-Id", "ETag"):
            answer.set_header(name, None)
        if answer.status[:3] in ("404", "405") and request.route is None:
            html_page(answer)  # registry.md 14
        token = answer.header("X-Docker-Token")
        if token is not None:
            answer.set_header("X-Docker-Token", f"Token {token}")  # hub.md 4.2
        if request.route == "get_search" and answer.status.startswith("200"):
            _change_json(answer, _short_results)


class _DockerRegistry09(_DockerRegistry):
    """docker-registry 0.9.1, standalone."""

    def after(self, environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
        super().after(environ, request, answer)
        answer.set_header("X-Docker-Registry-Version", None)  # registry.md 1.2
        for name in ("X-Docker-Payload-Checksum", "X-Docker-Checksum"):
            answer.set_header(name, None)  # registry.md 4.1
        if request.route == "status":
            answer.status = status_line(404)
            html_page(answer)  # registry.md 3.3
        if request.route == "get_layer":
            old_range(environ, request, answer)


class _DockerRegistry06(_DockerRegistry):
    """docker-registry 0.6.9, standalone, without its session cookie."""

    options: ClassVar[RegistryOptions] = {
        **_DockerRegistry.options,
        "message": "docker-registry server (prod) (v0.6.9)",  # registry.md 3.2
    }

    def after(self, environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
        super().after(environ, request, answer)
        answer.set_header("X-Docker-Registry-Version", "0.6.9")
        answer.set_header("X-Docker-Registry-Config", "prod")  # registry.md 1.2
        payload = answer.header("X-Docker-Checksum-Payload")
        if payload is not None:
            # one header with the stored sum (registry.md 4.1)
            answer.set_header("X-Docker-Checksum", answer.header("X-Docker-Checksum") or payload)
            answer.set_header("X-Docker-Checksum-Payload", None)
            answer.set_header("X-Docker-Payload-Checksum", None)
        if request.route == "ping":
            _replace_json(answer, True)  # registry.md 3.1
        if request.route in ("get_json", "get_layer", "get_ancestry") and answer.status.startswith("200"):
            answer.set_header("Pragma", "no-cache")  # registry.md 4.6
        if request.route == "get_images":
            answer.set_header("Access-Control-Allow-Origin", "*")  # registry.md 13


class _Quay(Profile):
    """The v1 endpoints of quay. Its answers of ``/v2/`` are those of the registry."""

    options: ClassVar[RegistryOptions] = {"auth": "users:"}

    def before(self, environ: dict[str, Any], request: RecordedRequest) -> Answer | None:
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        if request.route == "get_search" and not {"n", "page"} & set(query):
            environ["QUERY_STRING"] = urlencode({**query, "n": 25})  # hub.md 7: a bad n is 25
        if request.route in ("delete_images", "put_auth"):
            return _json_answer(501, {"error": "Not Implemented"})  # hub.md 4.4 and 4.5
        return None

    def after(self, environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
        is_success = answer.status.startswith("200")
        if request.route == "ping":
            _replace_json(answer, True)  # registry.md 3.1
            answer.set_header("X-Docker-Registry-Standalone", "0")
        elif request.route == "put_repository" and is_success:
            answer.status = status_line(201)  # hub.md 3.1
        elif request.route == "get_images" and is_success:
            _replace_json(answer, [])  # hub.md 4.1
        elif request.route == "get_users" and is_success:
            _replace_json(answer, {"username": environ.get(USER_KEY), "email": None})  # hub.md 2.2
        elif request.route == "get_users" and "HTTP_AUTHORIZATION" not in environ:
            answer.status = status_line(404)  # hub.md 2.2
            answer.set_header("WWW-Authenticate", None)
        elif request.route == "get_search" and is_success:
            _change_json(answer, _results_of_one_page)


class _Hub(Profile):
    """The index of Docker Hub, and its registry."""

    options: ClassVar[RegistryOptions] = {"auth": "users:", "tags_form": "hub", "search_names": "short"}

    def before(self, environ: dict[str, Any], request: RecordedRequest) -> Answer | None:
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        if request.route == "get_search" and not {"n", "page"} & set(query):
            environ["QUERY_STRING"] = urlencode({**query, "n": 25})  # hub.md 7
        return None


_PROFILES: Final[Mapping[str, type[Profile]]] = {
    "docker-registry-0.6": _DockerRegistry06,
    "docker-registry-0.9.1": _DockerRegistry09,
    "quay": _Quay,
    "hub": _Hub,
}


def profile_of(name: ProfileName) -> Profile:
    """Return a profile.

    :raises SettingsError: there is no such profile.
    """
    if name not in _PROFILES:
        raise SettingsError([f"profile: must be one of {', '.join(get_args(ProfileName))}, not {name!r}"])
    return _PROFILES[name]()


class ProfiledApplication:
    """A WSGI application that answers as another registry does."""

    def __init__(self, application: WSGIApplication, profile: Profile):
        self._application = application
        self._profile = profile

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request: RecordedRequest = environ[RECORD_KEY]
        answer = None if FAILURE_KEY in environ else self._profile.before(environ, request)
        if answer is None:
            answer = answer_of(self._application, environ)
            self._profile.after(environ, request, answer)
        if request.method == "HEAD":
            answer.chunks = []
        return send(answer, answer.chunks, start_response)


# -- changes of answers


def _json_answer(status: int, value: object) -> Answer:
    answer = Answer(status_line(status), [("Content-Type", "application/json")], [])
    _replace_json(answer, value)
    return answer


def _replace_json(answer: Answer, value: object) -> None:
    body = json.dumps(value, sort_keys=True).encode()
    answer.close()
    answer.chunks = [body]
    answer.set_header("Content-Length", str(len(body)))


def _change_json(answer: Answer, change: Callable[[Any], object]) -> None:
    body = b"".join(answer.chunks)
    if body:
        _replace_json(answer, change(json.loads(body)))


def _short_results(found: dict[str, Any]) -> object:
    """Return search results with the keys that docker-registry has (registry.md 9)."""
    results = [{"description": hit["description"], "name": hit["name"]} for hit in found["results"]]
    return {"num_results": len(results), "query": found["query"], "results": results}


def _results_of_one_page(found: dict[str, Any]) -> object:
    """Return search results that count only their own page, and none without words (hub.md 7)."""
    results = found["results"] if found["query"] else []
    return {**found, "results": results, "num_results": len(results)}


def _without(query: str, names: tuple[str, ...]) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name not in names])
