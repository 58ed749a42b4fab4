"""One server in a suite that runs against several: what each answers, and how the answers may differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import requests
from v1registry_fakes import FakeRegistry, WSGISession


@dataclass(frozen=True)
class Difference:
    """What one server answers in place of the expected value, and why.

    :param reason: one sentence, with the source of the fact if there is one.
    """

    value: object
    reason: str


#: What a server answers differently: (test, question) -> difference.
Differences = Mapping[tuple[str, str], Difference]


@dataclass
class Peer:
    """A server that answers the questions of a test.

    :param name: such as ``docker-registry 2.8``.
    :param test: the name of the running test, without ``test_``.
    :param differences: those of this server.
    """

    name: str
    url: str
    test: str
    differences: Differences
    session: requests.Session = field(default_factory=requests.Session)
    asked: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request. Redirects are not followed."""
        return self.session.request(
            method, urljoin(self.url, path), **{"timeout": 30, "allow_redirects": False, **options}
        )

    def expect(self, question: str, answer: object, expected: object) -> None:
        """Compare an answer with the expected value, or with the known difference of this server.

        A wrong answer is kept for :meth:`finish`, so that a run shows all of them.
        """
        assert question not in self.asked, f"{question!r} was asked before"
        self.asked.add(question)
        known = self.differences.get((self.test, question))
        right = expected if known is None else known.value
        if answer != right:
            self.wrong.append(f"{question}: {answer!r} in place of {right!r}")
        elif known is not None and answer == expected:
            self.wrong.append(f"{question}: is as expected, so the table must not list it")

    def finish(self) -> None:
        """Close the connections.

        :raises AssertionError: lists the wrong answers, and the differences in the table that no question
            asks for.
        """
        self.session.close()
        unused = {question for test, question in self.differences if test == self.test} - self.asked
        wrong = [*self.wrong, *(f"{question}: is in the table, but was not asked" for question in unused)]
        assert not wrong, "\n".join([f"{self.name} in {self.test}:", *wrong])


def peer_of_fake(name: str, fake: FakeRegistry, test: str) -> Peer:
    """Return a fake registry as one of the servers. It has no differences.

    :param name: ``fake`` for the live port, ``fake in process`` for calls of the application.
    """
    if name == "fake":
        return Peer(name, fake.url, test, {})
    session = WSGISession(fake.app)
    return Peer(name, session.base_url, test, {}, session)
