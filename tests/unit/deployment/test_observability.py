"""Rules and dashboards ask for what the workers expose, and the rules do what they say."""

import copy
import json
import re
import shutil
import subprocess

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from hypothesis import given
from hypothesis import strategies as st

from config.observability import metrics
from tests.unit.deployment import promql
from tests.unit.deployment.documents import ROOT, read

RULES = ROOT / "infra/prometheus/rules"
RULE_TEST = ROOT / "tests/prometheus/rules_test.yml"
PROMETHEUS_IMAGE = "prom/prometheus:latest"


def rules():
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


ALL_RULES = list(rules())
RECORDED = {rule["record"]: rule["expr"] for rule in ALL_RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
DASHBOARD = json.loads(read("infra/grafana/dashboards/fecapass.json"))
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
EXPRESSIONS = {**QUERIES, **RECORDED, **{name: rule["expr"] for name, rule in ALERTS.items()}}
KNOWN = {**promql.registered(), **{name: name for name in RECORDED}}


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_a_query_asks_for_metrics_that_are_exposed(name):
    query = promql.parse(EXPRESSIONS[name])
    assert query.names
    assert promql.unknown(query, KNOWN) == []


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_a_query_asks_for_labels_that_its_metrics_have(name):
    query = promql.parse(EXPRESSIONS[name])
    labels = set(promql.TARGET_LABELS)
    for metric in query.names:
        source = promql.parse(RECORDED[metric]).names if metric in RECORDED else {metric}
        for inner in source:
            labels |= promql.label_names().get(KNOWN.get(inner, ""), set())
    assert query.labels <= labels


@given(name=st.sampled_from(sorted(EXPRESSIONS)), letter=st.sampled_from("xyz"))
def test_a_misspelt_metric_is_reported(name, letter):
    original = promql.parse(EXPRESSIONS[name])
    ours = [metric for metric in original.names if "fecapass" in metric]
    for metric in ours:
        mutant = promql.parse(EXPRESSIONS[name].replace(metric, metric + letter))
        assert promql.unknown(mutant, KNOWN)


def test_every_metric_is_looked_at_somewhere():
    asked = set().union(*(promql.parse(expression).names for expression in EXPRESSIONS.values()))
    families = {KNOWN[name] for name in asked if name in KNOWN}
    assert set(promql.registered().values()) <= families


def test_the_dashboard_can_be_provisioned():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    source = yaml.safe_load(read("infra/grafana/provisioning/datasources/prometheus.yml"))
    (uid,) = (entry["uid"] for entry in source["datasources"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert all(t["datasource"]["uid"] == uid for t in panel.get("targets", ()))


def test_every_alert_has_a_test_a_severity_and_a_page_in_the_manual():
    tested = {
        case["alertname"]
        for test in yaml.safe_load(RULE_TEST.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    manual = read("docs/operations.md")
    assert tested == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert f"`{name}`" in manual


def test_the_metrics_page_holds_what_the_registry_holds():
    rows = re.findall(
        r"^\| `(fecapass_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$",
        read("docs/metrics.md"),
        re.MULTILINE,
    )
    documented = {name: (kind, labels, text) for name, kind, labels, text in rows}
    expected = {}
    for collector in vars(metrics).values():
        if hasattr(collector, "_labelnames"):
            suffix = "_total" if collector._type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)
            expected[collector._name + suffix] = (collector._type, labels, collector._documentation)
    assert documented == expected


def test_cameras_are_remembered_in_bounds(monkeypatch):
    monkeypatch.setattr(metrics, "MOST_CAMERAS", 3)
    monkeypatch.setattr(metrics, "_cameras", type(metrics._cameras)())
    metrics.CAMERA_LAST_FRAME.clear()
    for camera in ("a", "b", "c", "a", "d"):
        metrics.saw_camera(camera)
    told = {s.labels["camera"] for f in metrics.CAMERA_LAST_FRAME.collect() for s in f.samples}
    assert told == {"c", "a", "d"}
    metrics.CAMERA_LAST_FRAME.clear()


def promtool(*arguments, root=ROOT):
    """Run promtool, from this machine or from Prometheus' image."""
    if program := shutil.which("promtool"):
        command = [program]
    elif (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "image", "inspect", PROMETHEUS_IMAGE], capture_output=True, check=False
        ).returncode
    ):
        command = [
            "docker", "run", "--rm", "--volume", f"{root}:{root}:ro", "--entrypoint", "promtool",
            PROMETHEUS_IMAGE,
        ]  # fmt: skip
    else:
        pytest.skip("neither promtool nor Prometheus' image is here")
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_rules_pass_promtool():
    config = promtool("check", "config", ROOT / "infra/prometheus/prometheus.yml")
    assert config.returncode == 0, config.stdout + config.stderr
    rules = promtool("test", "rules", RULE_TEST)
    assert rules.returncode == 0, rules.stdout + rules.stderr


def check_for_kubernetes(directory, change):
    """Check a changed kubernetes.yml; Debian's promtool knows no discovery in Kubernetes."""
    shutil.copytree(ROOT / "infra/prometheus", directory / "prometheus")
    file = directory / "prometheus/kubernetes.yml"
    text = file.read_text()
    discovery = text[text.index("    kubernetes_sd_configs") : text.index("    relabel_configs")]
    assert yaml.safe_load(discovery)["kubernetes_sd_configs"][0]["role"] == "pod"
    file.write_text(change(text.replace(discovery, "    static_configs: [{targets: [pod:1]}]\n")))
    directory.chmod(0o755)
    return promtool("check", "config", file, root=directory)


def test_the_configuration_for_kubernetes_passes_promtool(tmp_path):
    result = check_for_kubernetes(tmp_path, lambda text: text)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_broken_configuration_for_kubernetes_does_not(tmp_path):
    result = check_for_kubernetes(tmp_path, lambda text: text.replace("target_label", "target"))
    assert "field target not found" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("messages:sum > 100", "messages:sum > 5000"),
        (") > 0\n        labels: {severity: w", ") > 7\n        labels: {severity: w"),
        (" unless fecapass_dead_letters_total offset 10m", " unless fecapass_dead_letters_total"),
        ("[90s])) > 0", "[5m])) > 0"),
        ("increase(fecapass_retries_total[90s])) > 0", "rate(fecapass_retries_total[90s])) > 0.05"),
        (' unless on () up{job="fecapass-detect-gpu"}', ""),
        ('absent(up{job="fecapass-identify"})', 'absent(up{job="fecapass-api"})'),
        ('absent(up{job="fecapass-follow"})', 'absent(up{job="fecapass-api"})'),
        ('absent(up{job="fecapass-maintain"})', 'absent(up{job="fecapass-api"})'),
        ("timestamp_seconds) > 300", "timestamp_seconds) > 900"),
        ('job=~".*-gpu", ', ""),
        ("ratio10m > 0.05", "ratio10m > 0.5"),
        ("p95_10m > 1", "p95_10m > 10"),
        ('up{job=~"fecapass-.*"} == 0', 'up{job=~"other-.*"} == 0'),
    ],
)
def test_a_broken_rule_fails_its_test(tmp_path, old, new):
    text = (RULES / "alerts.yml").read_text()
    assert old in text
    shutil.copytree(ROOT / "infra/prometheus", tmp_path / "infra/prometheus")
    (tmp_path / "tests/prometheus").mkdir(parents=True)
    shutil.copy(RULE_TEST, tmp_path / "tests/prometheus")
    (tmp_path / "infra/prometheus/rules/alerts.yml").write_text(text.replace(old, new))
    tmp_path.chmod(0o755)
    result = promtool("test", "rules", tmp_path / "tests/prometheus/rules_test.yml", root=tmp_path)
    assert result.returncode != 0
    assert "FAILED" in result.stdout + result.stderr


def as_grafana_reads(dashboard):
    """The dashboard with what Grafana's own types know; what is misspelt is gone."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(dashboard))))


def missing(written, read, path=""):
    """Paths of what was written and is not read, or is read as something else."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from missing(value, read.get(key), f"{path}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (ours, theirs) in enumerate(zip(written, read, strict=True)):
            yield from missing(ours, theirs, f"{path}/{number}")
    elif written != read:
        yield path


def test_grafana_knows_all_that_the_dashboard_says():
    assert list(missing(DASHBOARD, as_grafana_reads(DASHBOARD))) == []


@given(
    panel=st.sampled_from([p["id"] for p in DASHBOARD["panels"] if p["type"] != "row"]),
    key=st.sampled_from(["id", "title", "gridPos", "targets", "fieldConfig", "options"]),
    letter=st.sampled_from("abcxyz"),
)
def test_a_misspelt_field_of_a_panel_is_reported(panel, key, letter):
    mutant = copy.deepcopy(DASHBOARD)
    (broken,) = (p for p in mutant["panels"] if p["id"] == panel)
    broken[key + letter] = broken.pop(key)
    assert any(
        path.endswith(f"/{key}{letter}") for path in missing(mutant, as_grafana_reads(mutant))
    )
