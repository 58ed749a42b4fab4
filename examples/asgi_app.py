"""A Starlette application with a registry: /v1/ is the registry's, / is Starlette's. FastAPI does the same.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry python -m uvicorn --app-dir examples asgi_app:app --port 5000

Then run ``docker push localhost:5000/me/image`` and open http://localhost:5000/. The registry must be mounted
at the root: below ``/v1`` it would not see the whole path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from v1registry import Registry

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send


class StreamingWsgi:
    """A WSGI application under ASGI. Uploads are passed on while they come.

    :param threads: how many requests are answered at once. Each upload occupies a thread.
    """

    def __init__(self, application: WSGIApplication, threads: int = 100):
        def reading_to_the_end(environ: dict[str, Any], start_response: Any) -> Any:
            # a2wsgi decodes chunked bodies, but does not say so
            environ["wsgi.input_terminated"] = True
            return application(environ, start_response)

        self._application: Any = WSGIMiddleware(reading_to_the_end, workers=threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_all() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                # a2wsgi would take the part that came for the whole body
                raise ConnectionError("the client broke off its request")
            return message

        # in WSGI, X_Forwarded_For would count as X-Forwarded-For
        headers = [(name, value) for name, value in scope.get("headers", []) if b"_" not in name]
        await self._application({**scope, "headers": headers}, receive_all, send)


async def home(request: Request) -> PlainTextResponse:
    """Answer the front page."""
    return PlainTextResponse("Hello from Starlette")


app = Starlette(routes=[Route("/", home), Mount("/", StreamingWsgi(Registry.from_environment()))])
