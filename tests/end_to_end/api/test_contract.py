"""Whatever the OpenAPI document allows, and what it does not, is answered as it says."""

import json

import hypothesis
import pytest
import schemathesis
from hypothesis import given
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from infra.openapi import render

#: Streams do not end; they have tests of their own.
ENDLESS = "/api/v1/matches/stream"

OPERATIONS = [
    result.ok()
    for result in schemathesis.openapi.from_dict(json.loads(render()))
    .exclude(path=ENDLESS)
    .get_all_operations()
]

#: Not asked: whether every photo that the document allows is enrolled (most show nobody), and what
#: happens without a key, which has tests of its own.
NOT_ASKED = CHECKS.get_by_names(["positive_data_acceptance", "ignored_auth"])


def takes_something(operation: schemathesis.APIOperation) -> bool:
    """Whether there is anything that a caller could get wrong."""
    definition = operation.definition.raw
    places = {parameter["in"] for parameter in definition.get("parameters", ())}
    return "requestBody" in definition or bool(places & {"path", "query"})


CASES = [
    pytest.param(operation, mode, id=f"{operation.label} {mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or takes_something(operation)
]


async def test_the_document_is_served(http):
    assert (await http.get("/openapi.json")).json() == json.loads(render())


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_fits_the_document(operation, mode, gateway, http):
    """No 5xx, no status, type or body outside the document, no way around the key."""
    headers = dict(http.headers)

    @hypothesis.settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(
            base_url=gateway.address, headers=headers, timeout=60, excluded_checks=NOT_ASKED
        )

    check()
