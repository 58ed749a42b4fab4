"""The pytest plugin: a v1 registry for each test that asks for one.

| fixture | scope | value |
| --- | --- | --- |
| ``v1registry`` | function | a fresh :class:`~v1registry_fakes.FakeRegistry` |
| ``v1registry_app`` | function | its WSGI application |
| ``v1registry_client`` | function | a ``webtest.TestApp`` on it |
| ``v1registry_session`` | function | a ``requests.Session`` that reaches it in process, whatever the URL |
| ``v1registry_httpx`` | function | an ``httpx.Client`` that does so |
| ``v1registry_async_httpx`` | function | an ``httpx.AsyncClient`` that does so |
| ``v1registry_server`` | session | the live port behind ``v1registry.url``, started at first use |
| ``v1registry_tls_server`` | session | the same with TLS, for registries with ``tls=True`` |
| ``v1registry_options`` | session | override it to return the options for FakeRegistry |
| ``v1registry_per_class`` | class | a FakeRegistry for the tests of a class, with a live port of its own |
| ``v1registry_per_module`` | module | the same for a module |
| ``v1registry_per_session`` | session | the same for the whole run |
| ``docker_engine`` | function | a fresh :class:`~v1registry_fakes.FakeEngine`: a docker engine |

``@pytest.mark.v1registry(tls=True, search_limit=10)`` gives options to one test, class or module. They have
precedence over those of ``v1registry_options``. ``v1registry_per_class`` and ``v1registry_per_module`` read
the marks of their class and module. All fixtures of registries fail the test in which the registry itself
had an unexpected error.

``@pytest.mark.v1registry_fault("GET", "*/layer", status=500)`` sets a fault of ``v1registry`` for one test,
class or module. Several marks add up. Marks of a class or module also set faults of its shared registry.

``@pytest.mark.docker_engine(version="20.10.24", tls=True)`` gives options to ``docker_engine``.

pytest loads this module in every run, so it imports nothing before a fixture is requested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import httpx
    from _typeshed.wsgi import WSGIApplication
    from webtest import TestApp  # type: ignore[import-untyped]

    from .engine import FakeEngine
    from .options import FakeOptions
    from .registry import FakeRegistry
    from .server import LiveServer
    from .session import WSGISession


#: The fixtures of registries that several tests use.
_SHARED = (
    "v1registry_per_class",
    "v1registry_per_module",
    "v1registry_per_session",
    "docker_engine_per_class",
    "docker_engine_per_module",
    "docker_engine_per_session",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "v1registry(**options): options of FakeRegistry for the fixtures of registries, such as tls=True, "
        'profile="quay" or auth="users:"',
    )
    config.addinivalue_line(
        "markers",
        "v1registry_fault(method, path, **effects): a fault of the fixture v1registry, with the arguments of "
        "FakeRegistry.fail()",
    )
    config.addinivalue_line(
        "markers",
        "docker_engine(**options): options of FakeEngine for the fixture docker_engine, and for wider ones",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the requests and the contents of the registries to the report of a failed test."""
    report = yield
    if report.failed:
        for name, registry in _registries_of(item):
            report.sections.append((name, registry.describe()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test in which a registry that other tests use too had an unexpected error.

    :raises AssertionError: lists the requests with an unexpected error.
    """
    shared = [registry for name, registry in _registries_of(item) if name in _SHARED]
    yield
    for registry in shared:
        registry.check()


def _registries_of(item: pytest.Item) -> Iterator[tuple[str, FakeRegistry | FakeEngine]]:
    values = getattr(item, "funcargs", {})
    for name in ("v1registry", "docker_engine", *_SHARED):
        if hasattr(values.get(name), "describe"):
            yield name, values[name]
    if hasattr(getattr(item, "cls", None), "registry_options"):  # a RegistryTestCase
        registry = getattr(getattr(item, "instance", None), "registry", None)
        if registry is not None:
            yield "registry", registry


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


@pytest.fixture(scope="session")
def v1registry_options() -> FakeOptions:
    """The options for FakeRegistry: none. Override this fixture to give some.

    An override may have any scope. For ``v1registry_per_class`` and wider ones it needs theirs, or a wider
    one.
    """
    return {}


@pytest.fixture
def v1registry(request: pytest.FixtureRequest, v1registry_options: FakeOptions) -> Iterator[FakeRegistry]:
    """An empty registry for this test. The test fails at its end if the registry had an unexpected error."""
    from .registry import FakeRegistry

    options = _options_of(request, v1registry_options)
    has_tls = options.pop("tls", False)
    server = request.getfixturevalue("v1registry_tls_server" if has_tls else "v1registry_server")
    with FakeRegistry(server=server, **options) as registry:
        _set_faults(request, registry)
        yield registry


@pytest.fixture(scope="class")
def v1registry_per_class(
    request: pytest.FixtureRequest, v1registry_options: FakeOptions
) -> Iterator[FakeRegistry]:
    """A registry that the tests of a class share, with a live port of its own."""
    yield from _shared_registry(request, v1registry_options)


@pytest.fixture(scope="module")
def v1registry_per_module(
    request: pytest.FixtureRequest, v1registry_options: FakeOptions
) -> Iterator[FakeRegistry]:
    """A registry that the tests of a module share, with a live port of its own."""
    yield from _shared_registry(request, v1registry_options)


@pytest.fixture(scope="session")
def v1registry_per_session(
    request: pytest.FixtureRequest, v1registry_options: FakeOptions
) -> Iterator[FakeRegistry]:
    """A registry that all tests share, with a live port of its own.

    Under pytest-xdist each worker has one.
    """
    yield from _shared_registry(request, v1registry_options)


def _shared_registry(request: pytest.FixtureRequest, given: FakeOptions) -> Iterator[FakeRegistry]:
    from .registry import FakeRegistry

    with FakeRegistry(**_options_of(request, given)) as registry:
        _set_faults(request, registry)
        yield registry


def _options_of(request: pytest.FixtureRequest, given: FakeOptions) -> dict[str, Any]:
    """Return the options of a fixture: those of ``v1registry_options``, and of the marks in its scope.

    :raises pytest.UsageError: a mark has options without a keyword.
    """
    options: dict[str, Any] = dict(given)
    for marker in reversed(list(request.node.iter_markers("v1registry"))):
        if marker.args:
            raise pytest.UsageError(
                f"@pytest.mark.v1registry must have keywords, such as tls=True, not {marker.args!r}"
            )
        options.update(marker.kwargs)
    return options


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
    environ = {}
    if v1registry.in_process_url.startswith("https:"):
        environ = {
            "wsgi.url_scheme": "https",
            "HTTP_HOST": v1registry.in_process_url.removeprefix("https://"),
        }
    return TestApp(v1registry.app, extra_environ=environ)


@pytest.fixture
def v1registry_session(v1registry: FakeRegistry) -> Iterator[WSGISession]:
    """A ``requests.Session`` that reaches ``v1registry`` in process by any URL, or by a path alone."""
    with v1registry.session() as session:
        yield session


@pytest.fixture
def v1registry_httpx(v1registry: FakeRegistry) -> Iterator[httpx.Client]:
    """An ``httpx.Client`` that reaches ``v1registry`` in process by any URL, or by a path alone."""
    transport = v1registry.httpx_transport()

    import httpx

    with httpx.Client(transport=transport, base_url=v1registry.in_process_url, trust_env=False) as client:
        yield client


@pytest.fixture
def v1registry_async_httpx(v1registry: FakeRegistry) -> httpx.AsyncClient:
    """An ``httpx.AsyncClient`` that reaches ``v1registry`` in process by any URL, or by a path alone.

    It works in any event loop, and needs no closing, because it has no connections.
    """
    transport = v1registry.async_httpx_transport()

    import httpx

    return httpx.AsyncClient(transport=transport, base_url=v1registry.in_process_url, trust_env=False)


@pytest.fixture
def docker_engine(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """An empty docker engine for this test. The test fails at its end if the engine itself failed."""
    yield from _engine(request)


@pytest.fixture(scope="class")
def docker_engine_per_class(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """A docker engine that the tests of a class share."""
    yield from _engine(request)


@pytest.fixture(scope="module")
def docker_engine_per_module(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """A docker engine that the tests of a module share."""
    yield from _engine(request)


@pytest.fixture(scope="session")
def docker_engine_per_session(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """A docker engine that all tests share. Under pytest-xdist each worker has one."""
    yield from _engine(request)


def _engine(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """Yield an engine with the options of the marks in the scope of a fixture.

    :raises pytest.UsageError: a mark has options without a keyword.
    """
    from .engine import FakeEngine

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("docker_engine"))):
        if marker.args:
            raise pytest.UsageError(
                f"@pytest.mark.docker_engine must have keywords, such as tls=True, not {marker.args!r}"
            )
        options.update(marker.kwargs)
    with FakeEngine(**options) as engine:
        yield engine
