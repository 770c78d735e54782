"""The Kubernetes manifests are valid, and each check reports a manifest that is broken."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import DetectSettings
from streams.app import create_app
from streams.topics import Topics
from tests.unit.deployment import cluster, documents

PARTS = cluster.parts()
DOCUMENTED = documents.env_example(documents.read(".env.example"))
SETTINGS = DetectSettings()
PARTITIONS = {
    Topics().frames: SETTINGS.kafka.frames_partitions,
    Topics().detected: SETTINGS.kafka.detected_partitions,
}
DEPLOYMENTS = st.sampled_from(sorted(cluster.of_kind(PARTS, "Deployment")))
PODS = st.sampled_from(sorted(cluster.pods(PARTS)))
SCALED = st.sampled_from(sorted(cluster.of_kind(PARTS, "ScaledObject")))

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


def test_an_open_network_is_reported():
    open_network = [m for m in PARTS if m["metadata"]["name"] != "fecapass-default-deny"]
    assert cluster.network(open_network)


@given(key=st.from_regex(r"FECAPASS_[A-Z]{3,9}__[A-Z]{20}", fullmatch=True))
def test_a_setting_that_there_is_not_is_reported(key):
    manifests, config = mutant("ConfigMap", "fecapass-config")
    config["data"][key] = "x"
    assert about(cluster.settings(manifests, DOCUMENTED), key)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", ["cpu", "gpu", None])
def test_the_manifests_fit_the_schemas(overlay, version):
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not here")
    manifests = PARTS
    if overlay is not None:
        manifests = cluster.kustomize(cluster.KUBERNETES / "overlays" / overlay)
        if manifests is None:
            pytest.skip("neither kustomize nor kubectl is installed")
    for manifest in manifests:
        if manifest["apiVersion"] != cluster.KEDA:
            schemas.validate(manifest, version, strict=True)


def test_the_schemas_refuse_a_misspelt_field():
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not here")
    _, deployment = mutant("Deployment", "fecapass-detect")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    with pytest.raises(schemas.ValidationError):
        schemas.validate(deployment, VERSIONS[0], strict=True)


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
    assert {m["metadata"].get("namespace", "fecapass") for m in manifests} == {"fecapass"}
    (detect,) = cluster.pods(manifests)["fecapass-detect"]["containers"]
    gpus = detect["resources"]["limits"].get("nvidia.com/gpu")
    provider = {v["name"]: v["value"] for v in detect.get("env", ())}
    if overlay == "gpu":
        assert gpus == "1"
        assert provider["FECAPASS_MODELS__EXECUTION_PROVIDER"] == "cuda"
        assert detect["image"].startswith("fecapass-gpu:")
    else:
        assert gpus is None
        assert detect["image"].startswith("fecapass-app:")
