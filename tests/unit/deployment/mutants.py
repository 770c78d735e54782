"""Broken copies of the deployment's files, and what the checks say of them."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st


def without(document: Mapping[str, Any], *paths: Iterable[Any]) -> dict[str, Any]:
    """A copy without what the paths lead to."""
    mutant = copy.deepcopy(dict(document))
    for path in paths:
        *outer, last = path
        inner = mutant
        for step in outer:
            inner = inner[step]
        inner.pop(last, None)
    return mutant


def some(values: Iterable[Any]) -> st.SearchStrategy[set[Any]]:
    """At least one of the values: one thing is broken, or several are at once."""
    return st.sets(st.sampled_from(sorted(values)), min_size=1)


def about(problems: Iterable[str], name: str) -> list[str]:
    return [problem for problem in problems if problem.startswith(name)]
