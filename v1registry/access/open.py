"""Access to a registry without accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .. import errors
from ..names import RepositoryName
from ..registry.contents import Contents
from ..registry.staging import Staging
from ..rights import (
    EVERYTHING,
    Action,
    Content,
    ImageState,
    Listing,
    PushGrant,
    PushKey,
    Rights,
    User,
)
from .credentials import parse_authorization


class Issuer(Protocol):
    """What signs tokens; :class:`v1registry.access.tokens.Tokens` is one."""

    def issue(self, repository: RepositoryName, action: Action, user: User | None) -> str: ...


class OpenAccess:
    """Accepts everybody: credentials are ignored, malformed ones too (decisions.md 15)."""

    has_accounts = False

    def __init__(
        self,
        tokens: Issuer,
        contents: Contents,
        staging: Staging,
        *,
        standalone: str = "True",
    ):
        self.tokens = tokens
        self.contents = contents
        self.staging = staging
        self.standalone = standalone

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        return True

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        return OpenRights(self, authorization or "")

    def rights_of(self, user: User) -> Rights:
        return OpenRights(self, "")

    def forget(self) -> None:
        return


class OpenRights:
    """The rights of a caller: everything. The header tells pushes apart, and gives no rights."""

    is_open = True
    has_token = False
    user = None
    bearer = None
    is_login = False

    def __init__(self, access: OpenAccess, authorization: str):
        self._access = access
        self._authorization = authorization

    def issue_token(self, action: Action, repository: RepositoryName) -> str:
        # engines insist on one, although it is not checked
        return self._access.tokens.issue(repository, action, None)

    def require_login(self) -> None:
        return

    def require_scope(self, action: Action) -> None:
        return

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        return True

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        return

    def sees_deleted(self, repository: RepositoryName) -> bool:
        return False

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        return True

    def may_list(self, repository: RepositoryName) -> bool:
        return True

    def listing(self) -> Listing:
        return EVERYTHING

    def image_state(self, image_id: str) -> ImageState:
        contents = self._access.contents
        content = contents.open_content(image_id)
        if content is not None:
            return ImageState(content)
        return ImageState(
            sees_push=lambda: self._access.staging.has_any(image_id) or contents.has_mark(image_id)
        )

    def content_in(self, repository: RepositoryName | None, image_id: str) -> Content | None:
        return self._access.contents.open_content(image_id)

    def incarnation_of(self, repository: RepositoryName | None) -> str:
        return ""

    def state_for(
        self, repository: RepositoryName | None, image_id: str, *, is_named: bool = False
    ) -> ImageState:
        return ImageState(self._access.contents.open_content(image_id))

    def parent_error(self, image_id: str) -> errors.BadRequest:
        return errors.ParentNotFound(parent=image_id)

    def is_public_image(self, state: ImageState) -> bool:
        return True

    def push_key(self) -> PushKey:
        # an empty password and an empty token count as no credentials (clients.md 2.5)
        header = "" if parse_authorization(self._authorization) is None else self._authorization.strip()
        # clients may have no header, or the same login; a token of the index is the client's own
        is_token = header.lower().startswith("token ")
        return PushKey.of(f"header {header}", is_shared=not is_token, is_token=is_token)

    def push_grant(self, image_id: str) -> PushGrant:
        return PushGrant(self.push_key())
