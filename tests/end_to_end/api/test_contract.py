"""Whatever the OpenAPI document allows, and what it does not, is answered as it says."""

import asyncio
import json
import os
import sys

import hypothesis
import pytest
import schemathesis
from hypothesis import assume, given
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from infra.openapi import render

#: Streams do not end; they have tests of their own.
ENDLESS = "/stream$"

OPERATIONS = [
    result.ok()
    for result in schemathesis.openapi.from_dict(json.loads(render()))
    .exclude(path_regex=ENDLESS)
    .get_all_operations()
]

#: Not asked: whether every photo that the document allows is enrolled (most show no face), and what
#: happens without a key, which has tests of its own.
NOT_ASKED = CHECKS.get_by_names(["positive_data_acceptance", "ignored_auth"])


def takes_something(operation: schemathesis.APIOperation) -> bool:
    """Whether there is anything that a caller could get wrong."""
    definition = operation.definition.raw
    places = {parameter["in"] for parameter in definition.get("parameters", ())}
    return "requestBody" in definition or bool(places & {"path", "query"})


#: Systematic values of every kind, and sequences of requests that build on each other; with what
#: is not asked. Drawn values may be wrong only until they stand in an address, where an empty list
#: and the empty text, which is right, look the same; the systematic ones are looked at there.
PHASES = {
    "examples,coverage": "positive_data_acceptance,ignored_auth",
    "stateful": "positive_data_acceptance,ignored_auth,negative_data_rejection",
}

CASES = [
    pytest.param(operation, mode, id=f"{operation.label} {mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or takes_something(operation)
]


async def test_the_document_is_served(http):
    assert (await http.get("/openapi.json")).json() == json.loads(render())


@pytest.mark.parametrize(("phases", "not_asked"), PHASES.items())
async def test_the_command_finds_nothing(gateway, http, tmp_path, phases, not_asked):
    """As any client would try the server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.address}/openapi.json"),
        *("--url", gateway.address, "--header", f"X-API-Key: {http.headers['authorization'][7:]}"),
        *("--phases", phases, "--max-examples", "30", "--exclude-path-regex", ENDLESS),
        *("--exclude-checks", not_asked, "--seed", "1", "--no-color"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(300):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_fits_the_document(operation, mode, gateway, http):
    """No 5xx, no status, type or body outside the document, no way around the key."""
    headers = dict(http.headers)

    @hypothesis.settings(
        max_examples=50 if mode is GenerationMode.POSITIVE else 25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        # Of a parameter that is given several times the last counts, which may be a right one.
        assume(not any(isinstance(value, list) for value in (case.query or {}).values()))
        case.call_and_validate(
            base_url=gateway.address, headers=headers, timeout=60, excluded_checks=NOT_ASKED
        )

    check()
