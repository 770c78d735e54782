"""The Kubernetes manifests are valid, and each check reports a manifest that is broken."""

import copy

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.settings import DetectSettings
from streams.contract.topics import Topics
from streams.faust.faust_app import create_app
from tests.unit.deployment import cluster, documents

PARTS = cluster.parts()
DOCUMENTED = documents.env_example(documents.read(".env.example"))
SETTINGS = DetectSettings()
COUNTS = {
    Topics().frames: "FECAPASS_KAFKA__FRAMES_PARTITIONS",
    Topics().detected: "FECAPASS_KAFKA__DETECTED_PARTITIONS",
    Topics().matches: "FECAPASS_KAFKA__MATCHES_PARTITIONS",
}
PARTITIONS = cluster.partitions(PARTS, COUNTS)
JOBS = [
    job["job_name"]
    for job in yaml.safe_load(documents.read("infra/prometheus/prometheus.yml"))["scrape_configs"]
]
DEPLOYMENTS = st.sampled_from(sorted(cluster.of_kind(PARTS, "Deployment")))
PODS = st.sampled_from(sorted(cluster.pods(PARTS)))
POLICIES = cluster.of_kind(PARTS, "NetworkPolicy")
SCALED = st.sampled_from(sorted(cluster.of_kind(PARTS, "ScaledObject")))

#: Fields of a ScaledObject, by the way to each.
KEDA_PATHS = [
    ("spec", "scaleTargetRef"), ("spec", "scaleTargetRef", "name"), ("spec", "minReplicaCount"),
    ("spec", "maxReplicaCount"), ("spec", "pollingInterval"), ("spec", "cooldownPeriod"),
    ("spec", "fallback"), ("spec", "fallback", "failureThreshold"),
    ("spec", "fallback", "replicas"),
    ("spec", "advanced"), ("spec", "advanced", "horizontalPodAutoscalerConfig"),
    ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"),
    ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleUp"),
    ("spec", "triggers"), ("spec", "triggers", 0, "type"), ("spec", "triggers", 0, "metadata"),
]  # fmt: skip

#: The clusters' versions that the manifests are held to: the oldest in support, and a new one.
VERSIONS = ["1.30.0", "1.34.0"]


def mutant(kind, name):
    """A copy of all manifests, and in it the named one."""
    manifests = copy.deepcopy(PARTS)
    return manifests, cluster.of_kind(manifests, kind)[name]


def about(problems, name):
    return [problem for problem in problems if problem.startswith(name)]


def test_the_manifests_are_sound():
    assert cluster.hardening(PARTS) == []
    assert cluster.availability(PARTS, SETTINGS.workers.stop_timeout) == []
    assert cluster.scaling(PARTS, PARTITIONS) == []
    assert cluster.secrecy(PARTS) == []
    assert cluster.network(PARTS) == []
    assert cluster.observation(PARTS, JOBS) == []
    assert cluster.settings(PARTS, DOCUMENTED) == []


@given(
    name=PODS,
    key=st.sampled_from(
        ["allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities", "limits", "requests"]
    ),
)
def test_a_loose_pod_is_reported(name, key):
    manifests = copy.deepcopy(PARTS)
    (container,) = cluster.pods(manifests)[name]["containers"]
    del container["resources" if key in ("limits", "requests") else "securityContext"][key]
    assert about(cluster.hardening(manifests), name)


@given(name=DEPLOYMENTS, probe=st.sampled_from(["startupProbe", "livenessProbe", "readinessProbe"]))
def test_a_missing_probe_is_reported(name, probe):
    manifests, deployment = mutant("Deployment", name)
    del deployment["spec"]["template"]["spec"]["containers"][0][probe]
    assert about(cluster.availability(manifests, 20.0), name)


@given(name=DEPLOYMENTS, grace=st.integers(0, 20))
def test_a_missing_budget_or_too_short_an_end_is_reported(name, grace):
    own = ("PodDisruptionBudget", name)
    budgets = [m for m in PARTS if (m["kind"], m["metadata"]["name"]) != own]
    assert about(cluster.availability(budgets, 20.0), name)
    manifests, deployment = mutant("Deployment", name)
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    expected = name.removeprefix("fecapass-") in cluster.WORKERS
    assert bool(about(cluster.availability(manifests, 20.0), name)) == expected


@given(name=SCALED, replicas=st.integers(9, 500))
def test_more_replicas_than_partitions_are_reported(name, replicas):
    manifests, scaled = mutant("ScaledObject", name)
    scaled["spec"]["maxReplicaCount"] = replicas
    assert about(cluster.scaling(manifests, PARTITIONS), name)


@given(name=SCALED, what=st.sampled_from(["fallback", "group", "target", "object"]))
def test_scaling_that_goes_astray_is_reported(name, what):
    manifests, scaled = mutant("ScaledObject", name)
    if what == "object":
        manifests.remove(scaled)
    elif what == "fallback":
        del scaled["spec"]["fallback"]
    elif what == "group":
        scaled["spec"]["triggers"][0]["metadata"]["consumerGroup"] = "other"
    else:
        scaled["spec"]["scaleTargetRef"]["name"] = "other"
    assert about(cluster.scaling(manifests, PARTITIONS), name)


def test_the_groups_are_those_of_the_workers():
    for kind in cluster.WORKERS:
        app = create_app(kind, SETTINGS.kafka, SETTINGS.workers)
        assert app.conf.id == f"fecapass-{kind}"


@given(key=st.sampled_from(["FECAPASS_MAIN_DB__PASSWORD", "FECAPASS_S3__SECRET_ACCESS_KEY"]))
def test_a_secret_in_a_config_map_is_reported(key):
    manifests, config = mutant("ConfigMap", "fecapass-config")
    config["data"][key] = "x"
    assert about(cluster.secrecy(manifests), "fecapass-config")


def test_a_detect_worker_with_the_stores_is_reported():
    manifests, deployment = mutant("Deployment", "fecapass-detect")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["envFrom"].append({"secretRef": {"name": "fecapass-stores"}})
    assert about(cluster.secrecy(manifests), "fecapass-detect")


@given(policies=st.sets(st.sampled_from(sorted(POLICIES)), min_size=1))
def test_a_network_policy_that_is_missing_is_reported(policies):
    assert cluster.network([m for m in PARTS if m["metadata"]["name"] not in policies])


@given(
    policy=st.sampled_from(sorted(POLICIES)),
    way=st.sampled_from(["egress", "ingress"]),
    port=st.none() | st.integers(10_000, 65_535),
)
def test_a_network_that_is_open_too_far_is_reported(policy, way, port):
    manifests, mutant_policy = mutant("NetworkPolicy", policy)
    rule = {"ports": [{"port": port}]} if port else {}
    mutant_policy["spec"].setdefault(way, []).append(rule)
    assert cluster.network(manifests)


@given(name=DEPLOYMENTS, job=st.none() | st.from_regex(r"[a-z]{4,9}", fullmatch=True))
def test_a_worker_whom_no_rule_watches_is_reported(name, job):
    manifests, deployment = mutant("Deployment", name)
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    annotations.pop(cluster.JOB) if job is None else annotations.update({cluster.JOB: job})
    assert about(cluster.observation(manifests, JOBS), name)


@given(partitions=st.integers(1, 7))
def test_fewer_partitions_than_replicas_are_reported(partitions):
    manifests, config = mutant("ConfigMap", "fecapass-config")
    config["data"] |= dict.fromkeys(COUNTS.values(), str(partitions))
    counted = cluster.partitions(manifests, COUNTS)
    for name in cluster.of_kind(manifests, "ScaledObject"):
        assert about(cluster.scaling(manifests, counted), name)


@given(key=st.from_regex(r"FECAPASS_[A-Z]{3,9}__[A-Z]{20}", fullmatch=True))
def test_a_setting_that_there_is_not_is_reported(key):
    manifests, config = mutant("ConfigMap", "fecapass-config")
    config["data"][key] = "x"
    assert about(cluster.settings(manifests, DOCUMENTED), key)


def as_keda_reads(manifest):
    """The manifest with what KEDA's schema knows; what is misspelt is gone.

    Raises:
        pydantic.ValidationError: something is missing, or of another type.
    """
    model = getattr(keda, manifest["kind"]).model_validate(manifest)
    return model.model_dump(by_alias=True, exclude_unset=True, mode="json")


@given(name=SCALED, path=st.sampled_from(KEDA_PATHS), letter=st.sampled_from("abcxyz"))
def test_the_schema_of_keda_refuses_a_misspelt_field(name, path, letter):
    _, scaled = mutant("ScaledObject", name)
    *outer, last = path
    inner = scaled
    for step in outer:
        inner = inner[step]
    inner[last + letter] = inner.pop(last)
    try:
        assert as_keda_reads(scaled) != scaled
    except ValidationError as refusal:
        assert last in str(refusal)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", ["cpu", "gpu", None])
def test_the_manifests_fit_the_schemas(overlay, version):
    manifests = PARTS
    if overlay is not None:
        manifests = cluster.kustomize(cluster.KUBERNETES / "overlays" / overlay)
        if manifests is None:
            pytest.skip("neither kustomize nor kubectl is installed")
    for manifest in manifests:
        if manifest["apiVersion"] == cluster.KEDA:
            assert as_keda_reads(manifest) == manifest
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_refuse_a_misspelt_field():
    _, deployment = mutant("Deployment", "fecapass-detect")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_an_overlay_is_sound_and_says_where_models_run(overlay):
    manifests = cluster.kustomize(cluster.KUBERNETES / "overlays" / overlay)
    if manifests is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    assert cluster.hardening(manifests) == []
    assert cluster.availability(manifests, SETTINGS.workers.stop_timeout) == []
    assert cluster.scaling(manifests, PARTITIONS) == []
    assert cluster.secrecy(manifests) == []
    assert cluster.settings(manifests, DOCUMENTED) == []
    assert cluster.network(manifests) == []
    assert cluster.observation(manifests, JOBS) == []
    assert {m["metadata"].get("namespace", "fecapass") for m in manifests} == {"fecapass"}
    (detect,) = cluster.pods(manifests)["fecapass-detect"]["containers"]
    deployment = cluster.of_kind(manifests, "Deployment")["fecapass-detect"]
    job = deployment["spec"]["template"]["metadata"]["annotations"][cluster.JOB]
    gpus = detect["resources"]["limits"].get("nvidia.com/gpu")
    provider = {v["name"]: v["value"] for v in detect.get("env", ())}
    if overlay == "gpu":
        assert gpus == "1"
        assert provider["FECAPASS_MODELS__EXECUTION_PROVIDER"] == "cuda"
        assert detect["image"].startswith("fecapass-gpu:")
        assert job == "fecapass-detect-gpu"
    else:
        assert gpus is None
        assert detect["image"].startswith("fecapass-app:")
        assert job == "fecapass-detect"
