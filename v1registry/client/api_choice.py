"""The API by which a registry is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from ..names import is_v2_name
from .connection import Connection
from .errors import ApiNotOffered
from .reference import Reference
from .v2.repository import find_api

Api = Literal["auto", "v1", "v2"]
ResultT = TypeVar("ResultT")


def by_api(
    connection: Connection,
    api: Api,
    reference: Reference,
    notify: Callable[[str], object] = lambda text: None,
    *,
    by_v2: Callable[[], ResultT],
    by_v1: Callable[[], ResultT],
) -> ResultT:
    """Do a transfer by the API that the user chose, or by the newest that the registry has.

    :param notify: called with a sentence if ``auto`` uses v1 although the registry answers to v2.
    :raises ApiNotOffered: the registry does not offer it, or it is v1 and the reference has a digest.
    """

    def by_old() -> ResultT:
        if reference.digest is not None:
            raise ApiNotOffered(f"{reference} has a digest, which v1 does not support: give a tag")
        return by_v1()

    if api == "v1":
        return by_old()
    if api == "auto" and (find_api(connection) is None or not is_v2_name(reference.path)):
        return by_old()
    try:
        return by_v2()
    except ApiNotOffered as exc:
        if api == "v2":
            raise ApiNotOffered(f"{exc}; choose v1 (--api v1)") from exc
        if reference.digest is not None:
            raise
        notify(f"{exc}: v1 is used")
    return by_v1()
