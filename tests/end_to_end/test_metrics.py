"""What running workers expose is what rules, dashboard and the metrics page speak of."""

import json
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.deployment import promql

INFRA = Path(__file__).parents[2] / "infra"


async def exposed(workers):
    names = set()
    async with aiohttp.ClientSession() as session:
        for worker in workers:
            async with session.get(f"{worker.address}/metrics") as response:
                families = list(text_string_to_metric_families(await response.text()))
            names |= set(promql.samples(families)) | {f.name for f in families}
    return names


def expressions():
    dashboard = json.loads((INFRA / "grafana/dashboards/fecapass.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for file in (INFRA / "prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from (rule["expr"] for rule in group["rules"])


async def test_workers_expose_all_that_is_asked_of_them(workers):
    names = await exposed(workers)
    recorded = {
        name for name in set().union(*(promql.parse(e).names for e in expressions())) if ":" in name
    }
    for expression in expressions():
        assert promql.unknown(promql.parse(expression), names | recorded) == [], expression
