"""Reading PromQL as far as the checks need: which metrics and labels a query asks for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import REGISTRY, Metric

_NAME = re.compile(
    r"\b(?:fecapass_\w+|[a-z_]*:?fecapass[a-z_]*:\w+(?::\w+)?|process_\w+|up)\b(?!\s*\()"
)
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")

#: Labels that Prometheus itself adds.
TARGET_LABELS = {"job", "instance"}


@dataclass(frozen=True)
class Query:
    names: frozenset[str]
    labels: frozenset[str]


def parse(expression: str) -> Query:
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = set(_NAME.findall(re.sub(r"\{[^}]*\}", "", bare)))
    labels = {
        match.split("=")[0].strip(" !~")
        for _, matchers in _SELECTOR.findall(bare)
        for match in matchers.split(",")
    }
    for group in _GROUPING.findall(bare):
        labels |= {label.strip() for label in group.split(",")}
    return Query(frozenset(names), frozenset(labels))


def samples(families: Iterable[Metric]) -> dict[str, str]:
    """Sample names that metric families can expose, with the family that each belongs to."""
    suffixes = {
        "counter": ("_total",),
        "histogram": ("_bucket", "_sum", "_count"),
        "gauge": ("",),
        "info": ("_info",),
    }
    return {
        family.name + suffix: family.name
        for family in families
        for suffix in suffixes.get(family.type, ("",))
    }


def registered() -> dict[str, str]:
    """Sample names that the project's own registry can expose."""

    return samples(family for family in REGISTRY.collect() if family.name.startswith("fecapass_"))


def unknown(query: Query, known: Iterable[str]) -> list[str]:
    """The metrics of the query that no process exposes."""
    standard = {"up", "process_resident_memory_bytes", "process_start_time_seconds"}
    return sorted(query.names - set(known) - standard)


def label_names() -> Mapping[str, set[str]]:
    """Labels of each of the project's metric families."""
    from config.observability import metrics

    collectors = [c for c in vars(metrics).values() if hasattr(c, "_labelnames")]
    return {
        c._name: set(c._labelnames) | ({"le"} if c._type == "histogram" else set())
        for c in collectors
    }
