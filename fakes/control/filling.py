"""Handlers of the control API that fill the fake."""

from __future__ import annotations

from tempfile import NamedTemporaryFile
from typing import Any, Final, Literal, TypeAlias, cast

from v1registry.errors import BadRequest, BodyTooLarge
from v1registry.oauth.scopes import SCOPES
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response

from ..images import FakeImage
from ..manifests import FakeManifest
from . import bodies
from .bodies import content_of, contents_of, read_body
from .services import ControlServices, image_of, manifest_of, parameters, refusals
from .views import shown_image, shown_manifest

ControlRequest: TypeAlias = Request[ControlServices]

#: The largest archive, in bytes. Its images are kept in memory.
MOST_ARCHIVE_BYTES: Final = 1 << 30


def add_image(request: ControlRequest) -> Response:
    """Push an image of v1 or of OCI."""
    fake, body = request.services.fake, read_body(request, bodies.NewImage)
    files = None if body.files is None else contents_of(body.files)
    layer = None if body.layer is None else body.layer.base64
    with refusals():
        if body.api == "v2":
            if body.id is not None or not body.is_complete:
                raise ValueError('id and is_complete are for "api": "v1": digests follow from the contents')
            if body.name is None:
                raise ValueError("an image of v2 needs a name such as alice/app:1.0")
            pushed = fake.add_image(
                body.name,
                files=files,
                layer=layer,
                layers=body.layers,
                parent=None if body.parent is None else manifest_of(fake, body.parent),
                config=body.config,
                json=body.json,
                api="v2",
            )
            return _created(pushed)
        return _created(
            fake.add_image(
                body.name,
                files=files,
                layer=layer,
                layers=body.layers,
                parent=None if body.parent is None else image_of(fake, body.parent),
                config=body.config,
                json=body.json,
                id=body.id,
                is_complete=body.is_complete,
            )
        )


def tag(request: ControlRequest) -> Response:
    """Push an existing image of v1 under another name."""
    fake, body = request.services.fake, read_body(request, bodies.NewTag)
    with refusals():
        image = image_of(fake, body.image)
        fake.tag(image, body.name)
    return _created(image)


def add_repository(request: ControlRequest) -> Response:
    """Make a repository without images."""
    body = read_body(request, bodies.NewRepository)
    with refusals():
        request.services.fake.add_repository(
            body.name,
            description=body.description,
            star_count=body.star_count,
            is_private=body.is_private,
        )
    return json_response({"name": body.name}, 201)


def add_artifact(request: ControlRequest) -> Response:
    """Push an artifact, or a referrer of a manifest."""
    fake, body = request.services.fake, read_body(request, bodies.NewArtifact)
    blobs: str | dict[str, bytes | str] = (
        body.blobs
        if isinstance(body.blobs, str)
        else {title: content_of(content) for title, content in body.blobs.items()}
    )
    with refusals():
        pushed = fake.add_artifact(
            body.name,
            blobs,
            artifact_type=body.artifact_type,
            subject=None if body.subject is None else manifest_of(fake, body.subject),
            annotations=body.annotations,
        )
    return _created(pushed)


def add_index(request: ControlRequest) -> Response:
    """Push an index of images for several platforms."""
    fake, body = request.services.fake, read_body(request, bodies.NewIndex)
    with refusals():
        platforms = {name: manifest_of(fake, text) for name, text in body.platforms.items()}
        pushed = fake.add_index(body.name, platforms)
    return _created(pushed)


def add_archive(request: ControlRequest) -> Response:
    """Push the images of an archive, which is the body; ?name= and api= are those of add_archive().

    :raises BodyTooLarge: the archive is larger than MOST_ARCHIVE_BYTES.
    :raises BadRequest: it is no archive of images, or the registry rejects it.
    """
    values = parameters(request, ("name", "api"))
    api = values.get("api")
    if not (api is None or api == "v1" or api == "v2"):
        raise BadRequest(f"api must be v1 or v2, not {api[:40]!r}")
    with NamedTemporaryFile(prefix="v1registry-", suffix=".tar") as file:
        for chunk in request.upload:
            if request.upload.received > MOST_ARCHIVE_BYTES:
                raise BodyTooLarge(MOST_ARCHIVE_BYTES)
            file.write(chunk)
        file.flush()
        with refusals():
            try:
                pushed = request.services.fake.add_archive(
                    file.name, values.get("name"), api=cast("Literal['v1', 'v2'] | None", api)
                )
            except (OSError, EOFError) as error:
                raise ValueError(_named(f"the archive cannot be read: {error}", file.name)) from error
            except ValueError as error:
                raise ValueError(_named(str(error), file.name)) from error
    return json_response([_shown(each) for each in pushed], 201)


def _named(message: str, path: str) -> str:
    """Return a message without the path of the temporary file, which clients do not know."""
    return message.replace(repr(path), "the archive").replace(path, "the archive")


def add_user(request: ControlRequest) -> Response:
    """Make an account; needs --option auth=users:."""
    body = read_body(request, bodies.NewUser)
    with refusals():
        user = request.services.fake.add_user(
            body.username,
            body.password,
            email=body.email,
            groups=body.groups,
            is_active=body.is_active,
            is_administrator=body.is_administrator,
        )
    return json_response(
        {
            "username": user.name,
            "groups": sorted(user.groups),
            "is_active": user.is_active,
            "is_administrator": user.is_administrator,
        },
        201,
    )


def add_application(request: ControlRequest) -> Response:
    """Register an OAuth application; needs --option auth=users:."""
    body = read_body(request, bodies.NewApplication)
    with refusals():
        application = request.services.fake.add_application(
            body.name,
            body.redirect_uris,
            client_id=body.client_id,
            description=body.description,
            scopes=tuple(SCOPES) if body.scopes is None else body.scopes,
            is_public=body.is_public,
            is_trusted=body.is_trusted,
        )
    return json_response(
        {
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "redirect_uris": list(application.redirect_uris),
        },
        201,
    )


def consent(request: ControlRequest) -> Response:
    """Answer the page of consent for a user."""
    body = read_body(request, bodies.Consent)
    with refusals():
        location = request.services.fake.consent(body.url, body.username, is_allowed=body.is_allowed)
    return json_response({"location": location})


def _created(pushed: FakeImage | FakeManifest) -> Response:
    return json_response(_shown(pushed), 201)


def _shown(pushed: FakeImage | FakeManifest) -> dict[str, Any]:
    return shown_image(pushed) if isinstance(pushed, FakeImage) else shown_manifest(pushed)
