"""Users that a function knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.clock import Clock
from v1registry_fakes.contracts import BackendContract, LookupContract

from v1registry.accounts.backends.callback import Answer, Callback
from v1registry.accounts.base import BackendUnavailable, NotSupported
from v1registry.rights import User

PASSWORDS = {"mira": "correct horse"}


def is_right(username: str, password: str) -> bool:
    return PASSWORDS.get(username) == password


class TestCallback(BackendContract):
    @pytest.fixture
    def backend(self) -> Callback:
        return Callback(is_right)


class TestCallbackThatIsAskedEachTime(LookupContract):
    @pytest.fixture
    def backend(self) -> Callback:
        return Callback(is_right, find=lambda username: username in PASSWORDS, ttl_s=0)


class Recorder:
    """A callback that records how it is called."""

    def __init__(self, answer: Any = True) -> None:
        self.answer = answer
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str) -> Any:
        self.calls.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        (True, User("mira")),
        (False, None),
        (None, None),
        (
            User("kovac", frozenset({"red"}), is_active=False),
            User("kovac", frozenset({"red"}), is_active=False),
        ),
        ({}, User("mira")),
        ({"groups": ["red", "blue"]}, User("mira", frozenset({"red", "blue"}))),
        (
            {"groups": {"red": 1}.keys(), "is_administrator": True},
            User("mira", frozenset({"red"}), True, True),
        ),
        ({"name": "kovac", "is_active": False}, User("kovac", is_active=False)),
    ],
)
def test_callback_return_values_map_to_users(answer: Answer, user: User | None) -> None:
    assert Callback(lambda username, password: answer).authenticate("mira", "correct horse") == user
    assert Callback(is_right, find=lambda username: answer).find("mira") == user


@pytest.mark.parametrize(
    "answer",
    [
        1,
        0,
        "yes",
        "",
        [],
        b"yes",
        {"groups": "red"},
        {"groups": [1]},
        {"groups": None},
        {"is_active": "false"},
        {"is_active": 1},
        {"is_administrator": None},
        {"name": None},
        {"admin": True},
    ],
    ids=repr,
)
def test_invalid_return_value_refuses_the_login(answer: Any) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        Callback(lambda username, password: answer).authenticate("mira", "correct horse")
    assert isinstance(caught.value.__cause__, TypeError)
    if not isinstance(answer, Mapping) or answer.get("groups", ()) is not None:
        assert "a callback" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "error", [KeyError("mira"), OSError("no route"), ValueError(), RuntimeError("correct horse")]
)
def test_exception_of_the_function_is_the_cause_and_not_shown(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Callback(Recorder(error))
    with pytest.raises(BackendUnavailable, match=r"^Users cannot be checked now, try again later$") as caught:
        backend.authenticate("mira", "correct horse")
    assert caught.value.__cause__ is error
    assert type(error).__name__ in caplog.text
    assert "correct horse" not in caplog.text


def test_backend_unavailable_of_the_function_passes_through() -> None:
    error = BackendUnavailable("The staff database is being moved until noon")
    with pytest.raises(BackendUnavailable) as caught:
        Callback(Recorder(error)).authenticate("mira", "correct horse")
    assert caught.value is error


def test_function_is_not_called_with_an_empty_password() -> None:
    recorder = Recorder()
    assert Callback(recorder).authenticate("mira", "") is None
    assert recorder.calls == []


def test_pull_of_30_layers_asks_once() -> None:
    recorder = Recorder()
    backend = Callback(recorder)
    assert {backend.authenticate("mira", "correct horse") for _ in range(63)} == {User("mira")}
    assert recorder.calls == [("mira", "correct horse")]


def test_right_password_is_remembered_for_30_seconds() -> None:
    clock, recorder = Clock(0), Recorder()
    backend = Callback(recorder, clock=clock)
    assert backend.authenticate("mira", "correct horse") == User("mira")
    recorder.answer = False
    clock.now_s = 29.9
    assert backend.authenticate("mira", "correct horse") == User("mira")
    clock.now_s = 30.0
    assert backend.authenticate("mira", "correct horse") is None


def test_nothing_is_remembered_with_a_time_of_zero() -> None:
    recorder = Recorder()
    backend = Callback(recorder, ttl_s=0)
    backend.authenticate("mira", "correct horse")
    recorder.answer = False
    assert backend.authenticate("mira", "correct horse") is None


def test_an_error_is_not_remembered() -> None:
    recorder = Recorder(OSError())
    backend = Callback(recorder)
    with pytest.raises(BackendUnavailable):
        backend.authenticate("mira", "correct horse")
    recorder.answer = True
    assert backend.authenticate("mira", "correct horse") == User("mira")


def test_lookup_without_a_function_is_not_supported() -> None:
    with pytest.raises(NotSupported):
        Callback(is_right).find("mira")


def test_object_that_cannot_be_called_is_refused() -> None:
    wrong: list[Callable[[], object]] = [
        lambda: Callback("mira:secret"),  # type: ignore[arg-type]
        lambda: Callback(is_right, find={"mira": True}),  # type: ignore[arg-type]
    ]
    for make in wrong:
        with pytest.raises(TypeError, match="must be a function of user name and password"):
            make()


def test_callback_with_ids_returns_them_from_both_functions() -> None:
    backend = Callback(
        lambda username, password: {"id": "u-7"},
        find=lambda username: User(username, id="u-7"),
        has_ids=True,
    )
    found = [backend.authenticate("mira", "correct horse"), backend.find("mira")]
    assert [user.id for user in found if user is not None] == ["u-7", "u-7"]
    assert backend.can_find
    assert backend.has_ids


def test_callback_without_find_has_no_ids() -> None:
    backend = Callback(lambda username, password: True)
    assert not backend.can_find
    assert not backend.has_ids
    with pytest.raises(ValueError, match="has_ids needs find"):
        Callback(lambda username, password: True, has_ids=True)
