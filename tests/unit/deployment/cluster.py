"""What must hold of the Kubernetes manifests: checks on parsed documents, as in `checks`."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.unit.deployment.documents import ROOT

KUBERNETES = ROOT / "infra/kubernetes"
WORKERS = ("detect", "identify", "follow")
KEDA = "keda.sh/v1alpha1"
STORE_SOURCES = {"fecapass-stores"}
JOB = "fecapass/job"

_EVERYBODY = {("kube-system", 53), ("kafka", 9092), ("storage", 8333)}
_STORING = _EVERYBODY | {("databases", 5432), ("databases", 6379)}
_EGRESS = {
    "api": _STORING,
    "identify": _STORING,
    "follow": _STORING,
    "maintain": _STORING,
    "init": _STORING,
    "detect": _EVERYBODY,
}
_METRICS = {("monitoring", 8000), ("monitoring", 9100)}
_INGRESS = {
    "api": _METRICS | {("ingress-nginx", 8000)},
    "identify": _METRICS,
    "follow": _METRICS,
    "maintain": _METRICS,
    "detect": _METRICS,
    "init": set[tuple[str, int]](),
}

Manifest = Mapping[str, Any]


def kustomize(overlay: Path) -> list[Manifest] | None:
    """The manifests of an overlay; None where no kustomize is installed."""
    if program := shutil.which("kustomize"):
        command = [program, "build"]
    elif program := shutil.which("kubectl"):
        command = [program, "kustomize"]
    else:
        return None
    built = subprocess.run([*command, str(overlay)], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(built.stdout))


def parts() -> list[Manifest]:
    """All manifests as they lie in base and component, without what kustomize adds."""
    return [
        document
        for folder in ("base", "detect")
        for file in sorted((KUBERNETES / folder).glob("*.yaml"))
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
    ]


def of_kind(manifests: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def pods(manifests: Iterable[Manifest]) -> dict[str, Mapping[str, Any]]:
    """Pod specifications by the name of what makes the pods."""
    return {
        m["metadata"]["name"]: m["spec"]["template"]["spec"]
        for m in manifests
        if m["kind"] in ("Deployment", "Job")
    }


def hardening(manifests: Sequence[Manifest]) -> list[str]:
    """No root, no rights, nothing writable but scratch, memory in bounds."""
    problems = []
    for name, pod in pods(manifests).items():
        if not pod.get("securityContext", {}).get("runAsNonRoot"):
            problems.append(f"{name}: may run as root")
        if pod.get("automountServiceAccountToken") is not False:
            problems.append(f"{name}: is given a token of the cluster")
        for container in pod["containers"]:
            context = container.get("securityContext", {})
            if context.get("allowPrivilegeEscalation") is not False:
                problems.append(f"{name}: may gain rights")
            if not context.get("readOnlyRootFilesystem"):
                problems.append(f"{name}: its root can be written")
            if context.get("capabilities", {}).get("drop") != ["ALL"]:
                problems.append(f"{name}: keeps capabilities")
            resources = container.get("resources", {})
            if not resources.get("limits", {}).get("memory"):
                problems.append(f"{name}: memory without limit")
            if not {"cpu", "memory"} <= set(resources.get("requests", {})):
                problems.append(f"{name}: requests nothing")
    return problems


def availability(manifests: Sequence[Manifest], stop_timeout: float) -> list[str]:
    """Probes, time to finish, and a disruption budget for everything that keeps running."""
    budgets = [
        m["spec"]["selector"]["matchLabels"]
        for m in of_kind(manifests, "PodDisruptionBudget").values()
    ]
    problems = []
    for name, deployment in of_kind(manifests, "Deployment").items():
        if deployment["spec"]["selector"]["matchLabels"] not in budgets:
            problems.append(f"{name}: no disruption budget")
        pod = deployment["spec"]["template"]["spec"]
        problems += [
            f"{name}: no {probe}"
            for container in pod["containers"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            if probe not in container
        ]
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if name.removeprefix("fecapass-") in WORKERS and grace <= stop_timeout:
            problems.append(f"{name}: is killed before it may have finished")
    return problems


def scaling(manifests: Sequence[Manifest], partitions: Mapping[str, int]) -> list[str]:
    """Each worker grows with its topic's lag, to no more than the topic has partitions.

    Args:
        manifests: all of them.
        partitions: of each topic.
    """
    objects = of_kind(manifests, "ScaledObject")
    problems = [
        f"fecapass-{kind}: is not scaled" for kind in WORKERS if f"fecapass-{kind}" not in objects
    ]
    for name, scaled in objects.items():
        spec = scaled["spec"]
        if spec["scaleTargetRef"]["name"] not in of_kind(manifests, "Deployment"):
            problems.append(f"{name}: scales what is not there")
        if not 1 <= spec.get("fallback", {}).get("replicas", 0) <= spec["maxReplicaCount"]:
            problems.append(f"{name}: no fallback")
        kafka = [t["metadata"] for t in spec["triggers"] if t["type"] == "kafka"]
        if not kafka:
            problems.append(f"{name}: does not look at the lag")
        for trigger in kafka:
            if spec["maxReplicaCount"] > partitions.get(trigger["topic"], 0):
                problems.append(f"{name}: more replicas than {trigger['topic']} has partitions")
            if trigger["consumerGroup"] != name:
                problems.append(f"{name}: looks at the lag of {trigger['consumerGroup']}")
            if not str(trigger["lagThreshold"]).isdigit():
                problems.append(f"{name}: its threshold is no number")
    return problems


def secrecy(manifests: Sequence[Manifest]) -> list[str]:
    """Secrets are referred to, never held; and detect workers are given none of a database."""
    problems = [f"{name}: a secret in the repository" for name in of_kind(manifests, "Secret")]
    for name, config in of_kind(manifests, "ConfigMap").items():
        problems += [
            f"{name}: {key} belongs into a secret"
            for key in config.get("data", {})
            if any(word in key for word in ("PASSWORD", "SECRET", "ACCESS_KEY"))
        ]
    for name, pod in pods(manifests).items():
        for container in pod["containers"]:
            sources = {
                reference["name"]
                for source in container["envFrom"]
                for reference in source.values()
            }
            if name == "fecapass-detect" and sources & STORE_SOURCES:
                problems.append(f"{name}: is given the stores")
            if name != "fecapass-detect" and not sources >= STORE_SOURCES:
                problems.append(f"{name}: is not given the stores")
    return problems


def network(manifests: Sequence[Manifest]) -> list[str]:
    """Every pod may speak to what it needs and to nothing else; who may call it is said, too."""
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    problems = []
    if not any(
        p["spec"]["podSelector"] == {}
        and set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not p["spec"].keys() & {"ingress", "egress"}
        for p in policies
    ):
        problems.append("network: nothing is denied by default")
    for manifest in manifests:
        if manifest["kind"] not in ("Deployment", "Job"):
            continue
        name = manifest["metadata"]["name"]
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        ours = [p["spec"] for p in policies if _selects(p["spec"]["podSelector"], labels)]
        for way, far in (("egress", _EGRESS), ("ingress", _INGRESS)):
            allowed = {opening for spec in ours for opening in _openings(spec, way)}
            wanted = far[labels["app.kubernetes.io/component"]]
            problems += [f"{name}: {way}: {o} is shut" for o in sorted(wanted - allowed)]
            problems += [f"{name}: {way}: {o} is open" for o in sorted(allowed - wanted)]
    return problems


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        rule["operator"] == "In" and labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", ())
    )


def _openings(spec: Mapping[str, Any], way: str) -> Iterable[tuple[str, int]]:
    """Namespace and port of all that a policy opens; ``*`` and 0 where it names none."""
    for rule in spec.get(way, ()):
        peers = rule.get("to" if way == "egress" else "from") or [{}]
        for peer in peers:
            named = peer.get("namespaceSelector", {}).get("matchLabels", {})
            space = named.get("kubernetes.io/metadata.name", "*")
            yield from ((space, port.get("port", 0)) for port in rule.get("ports") or [{}])


def observation(manifests: Sequence[Manifest], jobs: Iterable[str]) -> list[str]:
    """Whatever keeps running belongs to a job that the rules know.

    Args:
        manifests: all of them.
        jobs: names of the jobs in ``prometheus.yml``.
    """
    known = set(jobs)
    return [
        f"{name}: {job} is no job of the rules"
        for name, deployment in of_kind(manifests, "Deployment").items()
        if (job := deployment["spec"]["template"]["metadata"].get("annotations", {}).get(JOB))
        not in known
    ]


def partitions(manifests: Sequence[Manifest], topics: Mapping[str, str]) -> dict[str, int]:
    """Partitions of each topic, as the cluster's own settings say.

    Args:
        manifests: all of them.
        topics: variable that sets the number, by topic.
    """
    data = of_kind(manifests, "ConfigMap")["fecapass-config"]["data"]
    return {topic: int(data[variable]) for topic, variable in topics.items()}


def settings(manifests: Sequence[Manifest], documented: Iterable[str]) -> list[str]:
    """Only settings that there are."""
    known = set(documented)
    named = {k for c in of_kind(manifests, "ConfigMap").values() for k in c.get("data", {})}
    for pod in pods(manifests).values():
        named |= {v["name"] for c in pod["containers"] for v in c.get("env", ())}
    return [f"{name}: no such setting" for name in sorted(named - known)]
