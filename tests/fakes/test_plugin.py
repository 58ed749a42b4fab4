"""The pytest plugin, by small test files that a separate pytest runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester):
    """Run a test file by a separate pytest, in this process by default. Every warning is an error."""
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings =\n    error\n")

    def run(source, *options, in_process=True, **files):
        pytester.makepyfile(test_it=source, **files)
        start = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        return start("-p", "no:cacheprovider", *options)

    return run


def loaded_modules(statement):
    """Return the modules that a fresh interpreter has after ``statement``."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


def test_the_plugin_imports_nothing_without_a_fixture():
    loaded = loaded_modules("import v1registry_fakes.plugin")
    heavy = {
        "webob",
        "cheroot",
        "requests",
        "webtest",
        "v1registry",
        "trustme",
        "ssl",
        "urllib3",
        "http.client",
    }
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("v1registry")} == {
        "v1registry_fakes",
        "v1registry_fakes.plugin",
    }


def test_a_fake_in_process_needs_neither_server_nor_requests():
    loaded = loaded_modules(
        "from v1registry_fakes import FakeRegistry\n"
        "with FakeRegistry() as registry: registry.add_image('alice/app')"
    )
    assert "webob" in loaded
    assert loaded & {"cheroot", "requests", "webtest", "pytest", "trustme"} == set()


def test_only_public_names_exist():
    import v1registry_fakes

    assert all(getattr(v1registry_fakes, name) is not None for name in v1registry_fakes.__all__)
    assert set(v1registry_fakes.__all__) <= set(dir(v1registry_fakes))
    with pytest.raises(AttributeError, match="has no attribute 'FakeRegistri'"):
        _ = v1registry_fakes.FakeRegistri


def test_each_test_has_a_separate_registry(run):
    result = run("""
        import requests

        def test_object(v1registry):
            image = v1registry.add_image("alice/app:1.0", files={"a": "b"})
            assert v1registry.tags("alice/app") == {"1.0": image.id}

        def test_app(v1registry, v1registry_app):
            assert v1registry_app is v1registry.app
            assert v1registry.repositories == []

        def test_client(v1registry, v1registry_client):
            v1registry.add_image("alice/app")
            assert v1registry_client.get("/v1/search").json["num_results"] == 1

        def test_session(v1registry, v1registry_session):
            assert v1registry_session.get("/v1/search").json()["num_results"] == 0
            assert v1registry_session.get("https://anywhere.example/v1/_ping").ok
            assert [str(each) for each in v1registry.requests] == ["GET /v1/search 200", "GET /v1/_ping 200"]

        def test_url(v1registry):
            v1registry.add_image("alice/live")
            found = requests.get(f"{v1registry.url}/v1/search", timeout=10).json()
            assert [hit["name"] for hit in found["results"]] == ["alice/live"]

        def test_url_again(v1registry):
            assert requests.get(f"{v1registry.url}/v1/search", timeout=10).json()["results"] == []

        def test_tls(v1registry_server):
            assert not v1registry_server.tls
        """)
    result.assert_outcomes(passed=7)


def test_the_live_port_stays_the_same_for_the_whole_session(run):
    result = run("""
        import pytest, requests

        @pytest.fixture(scope="session")
        def url(v1registry_server):
            return v1registry_server.url

        @pytest.mark.parametrize("number", range(3))
        def test_it(url, v1registry, number):
            assert v1registry.url == url
            v1registry.add_image(f"alice/app{number}")
            hits = requests.get(f"{url}/v1/search", timeout=10).json()["results"]
            assert [hit["name"] for hit in hits] == [f"alice/app{number}"]

        def test_without_a_registry(url):
            response = requests.get(f"{url}/v1/search", timeout=10)
            assert response.status_code == 503
            assert "No registry is served here" in response.text
        """)
    result.assert_outcomes(passed=4)


def test_no_port_is_opened_without_use(run):
    result = run(
        """
        import threading

        def test_it(v1registry, v1registry_session, v1registry_server):
            v1registry_session.get("/v1/_ping")
            assert not v1registry_server.is_running
            assert threading.enumerate() == [threading.main_thread()]
        """,
        in_process=False,
    )
    result.assert_outcomes(passed=1)


def test_the_nearest_marker_gives_the_options(run):
    result = run("""
        import pytest

        pytestmark = pytest.mark.v1registry(message="module", search_limit=1)

        def test_module(v1registry, v1registry_client):
            assert v1registry_client.get("/").json == "module"

        @pytest.mark.v1registry(message="function")
        def test_function(v1registry, v1registry_client):
            assert v1registry_client.get("/").json == "function"
            v1registry.add_image("alice/one")
            v1registry.add_image("alice/two")
            assert len(v1registry_client.get("/v1/search").json["results"]) == 1
        """)
    result.assert_outcomes(passed=2)


def test_the_marker_has_precedence_over_the_fixture(run):
    result = run(
        """
        import pytest

        def test_fixture(v1registry_client):
            assert v1registry_client.get("/").json == "fixture"
            assert v1registry_client.get("/v2/", status=404)

        @pytest.mark.v1registry(message="marker")
        def test_marker(v1registry_client):
            assert v1registry_client.get("/").json == "marker"
            assert v1registry_client.get("/v2/", status=404)
        """,
        conftest="""
        import pytest

        @pytest.fixture
        def v1registry_options():
            return {"message": "fixture", "v2": "absent"}
        """,
    )
    result.assert_outcomes(passed=2)


def test_tls_is_an_option_with_a_separate_port(run):
    # cryptography cannot be imported a second time, as a run in this process would do
    result = run(
        """
        import pytest, requests

        @pytest.mark.v1registry(tls=True)
        @pytest.mark.parametrize("number", range(2))
        def test_tls(v1registry, number, v1registry_tls_server):
            assert v1registry.url.startswith("https://127.0.0.1:")
            assert v1registry.url == v1registry_tls_server.url
            assert requests.get(f"{v1registry.url}/v1/_ping", verify=v1registry.ca_file, timeout=10).ok

        def test_plain(v1registry):
            assert v1registry.url.startswith("http://")
        """,
        in_process=False,
    )
    result.assert_outcomes(passed=3)


def test_a_second_registry_works_beside_the_fixture(run):
    result = run("""
        import pytest, requests
        from v1registry_fakes import FakeRegistry

        @pytest.fixture(scope="module")
        def mirror():
            with FakeRegistry() as mirror:
                mirror.add_image("alice/mirrored")
                yield mirror

        @pytest.mark.parametrize("number", range(2))
        def test_it(v1registry, mirror, number):
            urls = [f"{each.url}/v1/search" for each in (v1registry, mirror)]
            hits = [requests.get(url, timeout=10).json()["num_results"] for url in urls]
            assert hits == [0, 1]
        """)
    result.assert_outcomes(passed=2)


def test_an_unexpected_error_fails_the_test_at_its_end(run):
    result = run("""
        def test_it(v1registry, v1registry_client, monkeypatch):
            monkeypatch.setattr(v1registry.storage, "list_folders", lambda *arguments, **options: 1 / 0)
            v1registry_client.get("/v1/search", status=500)
        """)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ZeroDivisionError: division by zero",
            "*AssertionError: The registry itself failed in these requests, which is not the fault*",
            "*  GET /v1/search 500",
        ]
    )


def test_a_missing_name_lists_the_existing_ones(run):
    result = run("""
        def test_it(v1registry):
            v1registry.add_image("alice/app:1.0")
            v1registry.image("alice/app:2.0")
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NotThere: no tag '2.0' in alice/app; there are: 1.0"])


def test_a_failed_test_shows_requests_and_contents(run):
    result = run("""
        def test_it(v1registry, v1registry_session):
            v1registry.add_image("alice/app:1.0", id="ab" * 32)
            v1registry_session.get("/v1/repositories/alice/app/tags/2.0").raise_for_status()

        def test_fine(v1registry):
            assert v1registry.requests == []
        """)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- v1registry -*",
            "asked: 1",
            "  GET /v1/repositories/alice/app/tags/2.0 404",
            "there: 1 repositories, 1 images",
            f"  alice/app:1.0 {'ab' * 32}",
        ],
        consecutive=True,
    )


def test_a_foreign_v1registry_does_not_disturb_the_report(run):
    result = run("""
        import pytest

        @pytest.fixture
        def v1registry():
            return "something else"

        def test_it(v1registry):
            assert v1registry is None
        """)
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        (
            "serach_limit=3",
            "*SettingsError: serach_limit: there is no such setting; did you mean search_limit?*",
        ),
        ("'users'", "*@pytest.mark.v1registry must have keywords, such as tls=True, not ('users',)*"),
    ],
)
def test_an_invalid_marker_is_reported(run, marker, text):
    result = run(f"""
        import pytest

        @pytest.mark.v1registry({marker})
        def test_it(v1registry):
            pass
        """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])


def test_xdist_workers_have_separate_ports(run):
    result = run(
        """
        import pytest, requests

        @pytest.mark.parametrize("number", range(12))
        def test_it(v1registry, number):
            v1registry.add_image(f"alice/app{number}", layers=2)
            hits = requests.get(f"{v1registry.url}/v1/search", timeout=10).json()["results"]
            assert [hit["name"] for hit in hits] == [f"alice/app{number}"]
        """,
        "-n2",
        in_process=False,
    )
    result.assert_outcomes(passed=12)


def test_threads_of_one_test_share_its_registry(run):
    result = run("""
        import threading
        import requests

        def test_it(v1registry):
            def work(number):
                v1registry.add_image(f"alice/app{number}")
                statuses.append(requests.get(f"{v1registry.url}/v1/_ping", timeout=10).status_code)

            statuses = []
            threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert statuses == [200] * 10
            assert len(v1registry.repositories) == 10
        """)
    result.assert_outcomes(passed=1)


def test_fixtures_and_marker_are_listed_with_their_descriptions(run):
    fixtures = run("def test_it(): pass", "--fixtures")
    for name in [
        "",
        "_app",
        "_client",
        "_session",
        "_server",
        "_tls_server",
        "_options",
        "_httpx",
        "_async_httpx",
        "_per_class",
        "_per_module",
        "_per_session",
    ]:
        fixtures.stdout.fnmatch_lines_random([f"v1registry{name} *-- *plugin.py:*"])
    assert "no docstring available" not in fixtures.stdout.str().split("v1registry_fakes.plugin")[-1]
    markers = run("def test_it(): pass", "--markers")
    markers.stdout.fnmatch_lines(["@pytest.mark.v1registry(*options): options of FakeRegistry*"])


def test_a_missing_webtest_names_the_extra(run):
    result = run("""
        import sys
        import pytest

        @pytest.fixture(autouse=True)
        def without_webtest(monkeypatch):
            monkeypatch.setitem(sys.modules, "webtest", None)

        def test_it(v1registry_client):
            pass
        """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*ImportError: v1registry_client needs WebTest: pip install 'v1registry[[]fakes]'*"]
    )
