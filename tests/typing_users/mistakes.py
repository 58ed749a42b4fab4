"""Mistakes of users that type checkers must find. The module is checked, never run.

Each line with a mistake has a comment for mypy and one for pyright. A comment that is not needed is reported.
"""

from __future__ import annotations

from typing import ClassVar

from v1registry_fakes import (
    FakeEngine,
    FakeManifest,
    FakeOptions,
    FakeRegistry,
    Layer,
    RegistryTestCase,
    Run,
)

OPTIONS: FakeOptions = {"auht": "users:"}  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportAssignmentType]


class TestIt(RegistryTestCase):
    """A test case with a misspelt option."""

    registry_options: ClassVar[FakeOptions] = {"serach_limit": 5}  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportAssignmentType]


def misuse(registry: FakeRegistry, manifest: FakeManifest) -> None:
    """Call with wrong names, types and combinations."""
    FakeRegistry(auht="users:")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    FakeRegistry(profile="dockerhub")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FakeRegistry(port=5000)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    FakeRegistry(search_limit=5.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.add_image("alice/app", fils={})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    registry.add_image("alice/app", parent=manifest)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    registry.add_image(api="v2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    registry.add_image("alice/app", api="v3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    registry.add_repository("alice/app", star_count="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.add_archive("image.tar", api="v3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.fail("GET", statu=500)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    registry.fail("GET", storage="gone")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.assert_requested("GET", api="v3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.clock.advance("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    str(registry.image("alice/app").name)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    Layer().file("a", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Layer().compressed("xz")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Layer().device("a", kind="door")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_program(run: Run) -> str:
    """Return no exit code."""
    return run.image


def misuse_engine(engine: FakeEngine, registry: FakeRegistry) -> None:
    """Call with wrong names, types and combinations."""
    FakeEngine(api="v2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FakeEngine(profile="hub")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    FakeEngine(mirrors=registry)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.add_image("alice/app", file={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.add_image("alice/app", parent=registry.image("alice/app"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.on_run("alice/app", wrong_program)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.on_run("alice/app", logs=[5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    engine.on_run("alice/app", logs=[("stdin", "a")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    engine.on_exec("alice/app", exit_cod=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.fail("GET", disk="slow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    engine.fail("GET", wrong_checksum=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    engine.containers["web"].exit_code + 1  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]
    engine.on_run("alice/app", greet=None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
