"""The examples in docstrings say what is so."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest
import v1registry_fakes

import v1registry


def modules() -> Iterator[str]:
    for package in (v1registry, v1registry_fakes):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield module.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_the_examples_of_a_module_are_right(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)

    assert outcome.failed == 0, outcome


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example
        for name in modules()
        for found in finder.find(importlib.import_module(name))
        for example in found.examples
    ]
    assert len(examples) > 100
