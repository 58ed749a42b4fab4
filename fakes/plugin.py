"""The pytest plugin: a v1 registry for each test that asks for one.

| fixture | scope | value |
| --- | --- | --- |
| ``v1registry`` | function | a fresh :class:`~v1registry_fakes.FakeRegistry` |
| ``v1registry_app`` | function | its WSGI application |
| ``v1registry_client`` | function | a ``webtest.TestApp`` on it |
| ``v1registry_session`` | function | a ``requests.Session`` that reaches it in process, whatever the URL |
| ``v1registry_server`` | session | the live port behind ``v1registry.url``, started at first use |
| ``v1registry_tls_server`` | session | the same with TLS, for registries with ``tls=True`` |
| ``v1registry_options`` | function | override it to return the options for FakeRegistry |

``@pytest.mark.v1registry(tls=True, search_limit=10)`` gives options to one test, class or module. They have
precedence over those of ``v1registry_options``.

``@pytest.mark.v1registry_fault("GET", "*/layer", status=500)`` sets a fault of ``v1registry`` for one test,
class or module. Several marks add up.

pytest loads this module in every run, so it imports nothing before a fixture is requested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from _typeshed.wsgi import WSGIApplication
    from webtest import TestApp  # type: ignore[import-untyped]

    from .registry import FakeRegistry
    from .server import LiveServer
    from .session import WSGISession


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "v1registry(**options): options of FakeRegistry for the fixture v1registry"
    )
    config.addinivalue_line(
        "markers",
        "v1registry_fault(method, path, **effects): a fault of the fixture v1registry, with the arguments of "
        "FakeRegistry.fail()",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the requests and the contents of the registry to the report of a failed test."""
    report = yield
    describe = getattr(getattr(item, "funcargs", {}).get("v1registry"), "describe", None)
    if report.failed and describe is not None:
        report.sections.append(("v1registry", describe()))
    return report


@pytest.fixture(scope="session")
def v1registry_server() -> Iterator[LiveServer]:
    """The live port of this pytest process. It serves the ``v1registry`` of the running test."""
    from .server import LiveServer

    with LiveServer() as server:
        yield server


@pytest.fixture(scope="session")
def v1registry_tls_server() -> Iterator[LiveServer]:
    """The live port with TLS. ``.ca_file`` is the certificate to trust."""
    from .server import LiveServer

    with LiveServer(tls=True) as server:
        yield server


@pytest.fixture
def v1registry_options() -> dict[str, Any]:
    """The options for FakeRegistry: none. Override this fixture to give some."""
    return {}


@pytest.fixture
def v1registry(request: pytest.FixtureRequest, v1registry_options: dict[str, Any]) -> Iterator[FakeRegistry]:
    """An empty registry for this test. The test fails at its end if the registry had an unexpected error."""
    from .registry import FakeRegistry

    options = dict(v1registry_options)
    for marker in reversed(list(request.node.iter_markers("v1registry"))):
        if marker.args:
            raise pytest.UsageError(
                f"@pytest.mark.v1registry must have keywords, such as tls=True, not {marker.args!r}"
            )
        options.update(marker.kwargs)
    has_tls = options.pop("tls", False)
    server = request.getfixturevalue("v1registry_tls_server" if has_tls else "v1registry_server")
    with FakeRegistry(server=server, **options) as registry:
        _set_faults(request, registry)
        yield registry


def _set_faults(request: pytest.FixtureRequest, registry: FakeRegistry) -> None:
    """Set the faults of the marks, those of the module first.

    :raises pytest.UsageError: a mark has invalid arguments.
    """
    for marker in reversed(list(request.node.iter_markers("v1registry_fault"))):
        try:
            registry.fail(*marker.args, **marker.kwargs)
        except (TypeError, ValueError) as error:
            raise pytest.UsageError(f"@pytest.mark.v1registry_fault: {error}") from error


@pytest.fixture
def v1registry_app(v1registry: FakeRegistry) -> WSGIApplication:
    """The WSGI application of ``v1registry``, to mount or to call."""
    return v1registry.app


@pytest.fixture
def v1registry_client(v1registry: FakeRegistry) -> TestApp:
    """A WebTest ``TestApp`` on ``v1registry``."""
    try:
        from webtest import TestApp
    except ImportError as error:
        raise ImportError(
            f"v1registry_client needs WebTest: pip install 'v1registry[fakes]' ({error})"
        ) from error
    return TestApp(v1registry.app)


@pytest.fixture
def v1registry_session(v1registry: FakeRegistry) -> Iterator[WSGISession]:
    """A ``requests.Session`` that reaches ``v1registry`` in process by any URL, or by a path alone."""
    from .session import WSGISession

    with WSGISession(v1registry.app) as session:
        yield session
