"""The mark v1registry_fault sets faults of the fixture, and they end with the test."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)


@pytest.fixture
def run(pytester):
    """Return a function that runs a test file with the plugin, in this process."""
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings =\n    error\n")

    def run(text):
        pytester.makepyfile(text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider")

    return run


def test_marks_set_faults_and_add_up(run):
    result = run("""
        import pytest

        pytestmark = pytest.mark.v1registry_fault("GET", "*/_ping", headers={"X-Of-Module": "yes"})

        @pytest.mark.v1registry_fault("GET", "*/_ping", status=503, times=1)
        @pytest.mark.v1registry_fault("GET", "/v1/search", status=429, retry_after_s=3)
        def test_faults(v1registry, v1registry_session):
            answers = [v1registry_session.get("/v1/_ping") for _ in range(2)]
            assert [answer.status_code for answer in answers] == [503, 200]
            assert [answer.headers["X-Of-Module"] for answer in answers] == ["yes", "yes"]
            assert v1registry_session.get("/v1/search").headers["Retry-After"] == "3"
            assert len(v1registry.faults) == 3

        def test_the_next_test_has_only_those_of_the_module(v1registry, v1registry_session):
            assert v1registry_session.get("/v1/_ping").status_code == 200
            assert len(v1registry.faults) == 1
        """)
    result.assert_outcomes(passed=2)


def test_faults_of_a_test_end_with_it_on_the_live_port(run):
    result = run("""
        import requests

        def test_with_a_fault(v1registry):
            v1registry.fail(status=503)
            assert requests.get(f"{v1registry.url}/v1/_ping", timeout=10).status_code == 503

        def test_without(v1registry):
            assert requests.get(f"{v1registry.url}/v1/_ping", timeout=10).status_code == 200
        """)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('"GET", status=99', "status must be from 200 to 599, not 99"),
        ('"GET", stauts=500', "*unexpected keyword argument 'stauts'*"),
    ],
)
def test_an_invalid_mark_is_told(run, arguments, problem):
    result = run(f"""
        import pytest

        @pytest.mark.v1registry_fault({arguments})
        def test_it(v1registry):
            pass
        """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*@pytest.mark.v1registry_fault: {problem}"])


def test_the_mark_is_listed(run, pytester):
    listed = pytester.runpytest_inprocess("--markers")
    listed.stdout.fnmatch_lines(["@pytest.mark.v1registry_fault(method, path, [*][*]effects): a fault of *"])
