"""The dashboard's queries, put to a Prometheus that watches a running deployment."""

import asyncio
import http.client
import json
from pathlib import Path
from time import monotonic
from urllib.parse import urlencode

DASHBOARD = Path(__file__).parents[2] / "infra" / "grafana/dashboards/fecapass.json"

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 1.0

#: Panels that have something to show as soon as frames have passed.
_FILLED = frozenset(
    {
        "Messages behind, by topic",
        "Messages a second, by topic",
        "Latency: from the picture to its match event",
        "Where time goes: seconds of work a second, by stage",
        "Batch fill, mean messages",
        "Faces found and followed a second",
        "Who they are: matches and unknowns",
        "Seconds since a camera's last frame",
        "Age of each worker's gallery",
        "Model and provider of each worker",
        "Up",
        "Memory",
        "Requests a second, by status",
    }
)


class ObserveError(Exception):
    """Prometheus refuses a query, or a panel that should show something is empty."""


def queries() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [(panel["title"], t["expr"]) for panel in panels for t in panel.get("targets", ())]


def ask(port: int, expression: str) -> list[dict[str, object]]:
    """Evaluate an instant query.

    Args:
        port: of Prometheus, on loopback.
        expression: PromQL.

    Returns:
        The series, each with its labels and value; those that are NaN are left out.

    Raises:
        ObserveError: Prometheus refuses it.
        OSError: Prometheus does not answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/api/v1/query?{urlencode({'query': expression})}")
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if answer["status"] != "success":
        raise ObserveError(f"{expression}: {answer.get('error')}")
    return [series for series in answer["data"]["result"] if series["value"][1] != "NaN"]


async def until_shown(port: int, seconds: float) -> int:
    """Wait until every query is answered and every panel that should be is filled.

    Returns:
        How many queries were asked.

    Raises:
        ObserveError: some panels stayed empty, or a query is refused.
    """
    deadline = monotonic() + seconds
    asked = queries()
    while True:
        results = {
            (title, expression): await asyncio.to_thread(ask, port, expression)
            for title, expression in asked
        }
        shown = {title for (title, _), series in results.items() if series}
        if shown >= _FILLED:
            return len(asked)
        if monotonic() > deadline:
            raise ObserveError(f"nothing to be seen in {sorted(_FILLED - shown)}")
        await asyncio.sleep(_POLL_SECONDS)
