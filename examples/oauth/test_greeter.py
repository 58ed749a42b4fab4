"""Test a program in which people log in by OAuth.

The fixtures come with ``pip install 'v1registry[fakes]'``.

pytest examples/oauth
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests
from greeter import Greeter
from webtest import TestApp

URL = "http://registry.example.com"


@pytest.fixture
def v1registry_options():
    return {"auth": "users:"}


@pytest.fixture
def site(v1registry, v1registry_session):
    v1registry.add_user("mira_k", "correct horse")
    application = v1registry.add_application("Greeter", ["https://greeter.example.org/back"])
    return TestApp(
        Greeter(
            URL,
            application.client_id,
            application.client_secret,
            application.redirect_uris[0],
            v1registry_session,
        )
    )


def come_back(site, location):
    """Follow the browser back to the site."""
    parts = urlsplit(location)
    return site.get(f"{parts.path}?{parts.query}", expect_errors=True)


def test_a_user_is_greeted(v1registry, v1registry_session, site):
    profile = {"full_name": "Mira Kovac"}
    v1registry_session.patch(f"{URL}/api/v1.1/users/mira_k/", json=profile, auth=("mira_k", "correct horse"))

    asked = site.get("/").location

    assert "Hello Mira Kovac" in come_back(site, v1registry.consent(asked, "mira_k"))


def test_a_user_who_refuses_is_no_error(v1registry, site):
    asked = site.get("/").location

    assert "You did not log in: access_denied" in come_back(
        site, v1registry.consent(asked, "mira_k", is_allowed=False)
    )


def test_an_answer_that_was_asked_for_by_somebody_else_is_refused(v1registry, site):
    location = v1registry.consent(site.get("/").location, "mira_k")
    site.reset()

    assert come_back(site, location).status_int == 400


def test_a_code_that_is_made_up_greets_nobody(site):
    state = urlsplit(site.get("/").location).query.rpartition("state=")[2]

    with pytest.raises(requests.HTTPError, match="400"):
        site.get(f"/back?code=made-up&state={state}")
