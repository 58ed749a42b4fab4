"""Fixtures of wider scope, the clients of httpx, TLS, and RegistryTestCase, by files that a pytest runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trustme  # noqa: F401  pytester removes new modules, and cryptography cannot be imported twice

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a test file by a separate pytest in this process. Every warning is an error."""
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings =\n    error\n")

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=source)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


# -- scopes


def test_registry_of_each_scope_lives_as_long_as_it(run: Run) -> None:
    run("""
        import pytest

        ALL = ("v1registry_per_class", "v1registry_per_module", "v1registry_per_session")
        seen = []

        @pytest.fixture
        def registries(v1registry_per_class, v1registry_per_module, v1registry_per_session):
            return v1registry_per_class, v1registry_per_module, v1registry_per_session

        class TestFirst:
            def test_one(self, registries):
                for registry in registries:
                    registry.add_image("alice/app:1")
                    assert registry.url.startswith("http://127.0.0.1:")
                assert len({registry.url for registry in registries}) == 3
                seen.extend(registries)

            def test_two(self, registries):
                assert list(registries) == seen
                assert all(registry.repositories == ["alice/app"] for registry in registries)

        class TestSecond:
            def test_three(self, registries):
                assert registries[0] is not seen[0]
                assert registries[0].repositories == []
                assert registries[1:] == tuple(seen[1:])
        """).assert_outcomes(passed=3)


def test_options_and_marks_reach_shared_registries(run: Run) -> None:
    run("""
        import pytest

        pytestmark = pytest.mark.v1registry(auth="users:")

        @pytest.fixture(scope="session")
        def v1registry_options():
            return {"search_limit": 3}

        def settings(registry):
            return registry._recorder.application.settings

        @pytest.mark.v1registry(tls=True, search_limit=4)
        class TestIt:
            def test_it(self, v1registry_per_class, v1registry_per_module, v1registry_per_session):
                v1registry_per_class.add_user("alice")
                v1registry_per_module.add_user("alice")
                assert v1registry_per_class.url.startswith("https://")
                assert v1registry_per_module.url.startswith("http://")
                limits = [
                    registry.session().get("/v1/search").json()["page_size"]
                    for registry in (v1registry_per_class, v1registry_per_module, v1registry_per_session)
                ]
                assert limits == [4, 3, 3]
        """).assert_outcomes(passed=1)


def test_mark_without_a_keyword_is_an_error(run: Run) -> None:
    result = run("""
        import pytest

        @pytest.mark.v1registry("tls")
        class TestIt:
            def test_it(self, v1registry_per_class):
                pass
        """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*must have keywords, such as tls=True, not*"])


def test_failure_of_a_shared_registry_fails_the_test_that_caused_it(run: Run) -> None:
    result = run("""
        def test_good(v1registry_per_module):
            v1registry_per_module.session().get("/v1/_ping")

        def test_bad(v1registry_per_module, monkeypatch):
            monkeypatch.setattr(v1registry_per_module.storage, "list_folders", None)
            v1registry_per_module.session().get("/v1/search")

        def test_good_again(v1registry_per_module):
            v1registry_per_module.session().get("/v1/search")
        """)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_bad*", "*GET /v1/search 500*"])


@pytest.mark.parametrize(
    "fixture", ["v1registry_per_class", "v1registry_per_module", "v1registry_per_session"]
)
def test_report_of_a_failed_test_shows_shared_registries(run: Run, fixture: str) -> None:
    result = run(f"""
        def test_bad({fixture}):
            {fixture}.add_image("alice/app:1")
            {fixture}.session().get("/v1/repositories/alice/app/tags")
            assert False
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*- {fixture} -*", "*GET /v1/repositories/alice/app/tags 200*", "*alice/app:1*"]
    )


# -- clients of httpx, and TLS


@pytest.mark.parametrize(("tls", "scheme"), [(False, "http"), (True, "https")])
def test_clients_in_process_reach_the_registry(run: Run, tls: bool, scheme: str) -> None:
    run(f"""
        import anyio
        import pytest

        pytestmark = pytest.mark.v1registry(tls={tls})

        def path_of(answer):
            return str(answer.url)

        def test_session(v1registry, v1registry_session):
            answer = v1registry_session.get("/v1/_ping")
            assert (answer.status_code, answer.url) == (200, "{scheme}://v1registry.test/v1/_ping")
            assert len(v1registry.requests) == 1

        def test_webtest(v1registry, v1registry_client):
            answer = v1registry_client.get("/v1/_ping")
            assert answer.request.url.startswith("{scheme}://")
            assert len(v1registry.requests) == 1

        def test_httpx(v1registry, v1registry_httpx):
            for url in ("/v1/_ping", "https://registry.example.com/v1/_ping"):
                assert v1registry_httpx.get(url).status_code == 200
            assert str(v1registry_httpx.get("/v1/_ping").url) == "{scheme}://v1registry.test/v1/_ping"
            assert len(v1registry.requests) == 3

        @pytest.mark.parametrize("backend", ["asyncio", "trio"])
        def test_async_httpx(v1registry, v1registry_async_httpx, backend):
            async def run():
                for url in ("/v1/_ping", "https://registry.example.com/v1/_ping"):
                    assert (await v1registry_async_httpx.get(url)).status_code == 200
            anyio.run(run, backend=backend)
            assert len(v1registry.requests) == 2
        """).assert_outcomes(passed=5)


def test_httpx_reaches_the_live_port_with_tls(run: Run) -> None:
    run("""
        import ssl

        import httpx
        import pytest

        @pytest.mark.v1registry(tls=True)
        class TestIt:
            def test_it(self, v1registry_per_class):
                context = ssl.create_default_context(cafile=v1registry_per_class.ca_file)
                assert httpx.get(f"{v1registry_per_class.url}/v1/_ping", verify=context).status_code == 200
        """).assert_outcomes(passed=1)


# -- unittest


CASE = """
    import asyncio
    import ssl
    import unittest
    import urllib.request

    from v1registry_fakes import RegistryTestCase

    class TestPlain(RegistryTestCase):
        urls = set()

        def test_first(self):
            self.registry.add_image("alice/app:1")
            self.urls.add(self.registry.url)

        def test_second(self):
            self.assertEqual(self.registry.repositories, [])
            self.urls.add(self.registry.url)
            self.assertEqual(len(self.urls), 1)

    class TestSecure(RegistryTestCase):
        registry_options = {"auth": "users:", "tls": True}

        def setUp(self):
            super().setUp()
            self.registry.add_user("alice")

        def test_it(self):
            context = ssl.create_default_context(cafile=self.registry.ca_file)
            with urllib.request.urlopen(f"{self.registry.url}/v1/_ping", context=context) as answer:
                self.assertEqual(answer.status, 200)

    class TestAsync(RegistryTestCase, unittest.IsolatedAsyncioTestCase):
        async def test_it(self):
            await asyncio.sleep(0)
            self.assertEqual(self.registry.session().get("/v1/_ping").status_code, 200)
"""


def test_test_case_has_a_registry_for_each_test(run: Run) -> None:
    run(CASE, "-p", "no:asyncio").assert_outcomes(passed=4)


def test_test_case_works_without_pytest(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(test_it=CASE)
    done = pytester.runpython_c(
        f"import sys, unittest; sys.path.insert(0, {str(path.parent)!r})\n"
        "unittest.main('test_it', argv=['test_it', '-v'])"
    )
    assert done.ret == 0
    done.stderr.fnmatch_lines(["Ran 4 tests*", "OK"])


def test_test_case_fails_if_the_registry_fails(run: Run) -> None:
    result = run("""
        from unittest import mock

        from v1registry_fakes import RegistryTestCase

        class TestIt(RegistryTestCase):
            def test_bad(self):
                with mock.patch.object(self.registry.storage, "list_folders", None):
                    self.registry.session().get("/v1/search")
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*The registry itself failed in these requests*", "*GET /v1/search 500*"])


def test_report_of_a_failed_test_case_shows_the_registry(run: Run) -> None:
    result = run("""
        from v1registry_fakes import RegistryTestCase

        class TestIt(RegistryTestCase):
            def test_bad(self):
                self.registry.add_image("alice/app:1")
                self.fail("on purpose")
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- registry -*", "*alice/app:1*"])
