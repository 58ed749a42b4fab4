"""Access to a registry without accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from ..names import RepositoryName
from ..rights import Action, ImageState, Rights, User


class Issuer(Protocol):
    """What signs tokens; :class:`v1registry.access.tokens.Tokens` is one."""

    def issue(self, repository: RepositoryName, action: Action, user: User | None) -> str: ...


class OpenAccess:
    """Asks nobody: credentials that come are ignored, malformed ones too (decisions.md 15). It is also its own rights."""

    has_accounts = False
    has_token = False
    user = None
    bearer = None
    is_login = False

    def __init__(self, tokens: Issuer, *, registry_is_elsewhere: bool = False):
        self._tokens = tokens
        self.standalone = "False" if registry_is_elsewhere else "True"

    def issue_token(self, action: Action, repository: RepositoryName) -> str:
        # engines insist on one, nobody looks at it
        return self._tokens.issue(repository, action, None)

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        return True

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        return self

    def rights_of(self, user: User) -> Rights:
        return self

    def require_scope(self, action: Action) -> None:
        return

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        return True

    def changing(self, repository: RepositoryName) -> AbstractContextManager[None]:
        return nullcontext()

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        return

    def sees_deleted(self, repository: RepositoryName) -> bool:
        return False

    def can_read_complete_image(self, image_id: str) -> bool:
        return True

    def image_state(self, image_id: str) -> ImageState:
        return ImageState.READABLE  # whether it is there and complete, the images tell

    def require_parent(self, image_id: str) -> None:
        return

    def may_list(self, repository: RepositoryName) -> bool:
        return True

    def is_public_image(self, image_id: str) -> bool:
        return True

    def require_image_write(self, image_id: str) -> None:
        return

    def note_json(self, image_id: str, document: bytes) -> None:
        return

    def has_sent_json(self, image_id: str, document: bytes) -> bool:
        return True

    def note_layer(self, image_id: str, document: bytes, payload_checksum: str) -> None:
        return

    def prepare_completion(
        self, image_id: str, document: bytes, payload_checksums: Collection[str], parent: str | None
    ) -> None:
        return

    def hold(self, image_id: str, document: bytes, payload_checksums: Collection[str]) -> None:
        return

    def announce(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        return

    def release(self, repository: RepositoryName) -> None:
        return
