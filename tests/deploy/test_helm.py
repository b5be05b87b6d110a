"""The Helm chart: linted, rendered in every mode, checked against Kubernetes' schemas, and its configuration loaded."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from rotator.cli.commands import rotator
from rotator.config.load import load_config
from rotator.shards import Shard
from tests.deploy.go_tools import tool

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.xdist_group("go"), pytest.mark.timeout(1500)]  # the first of them builds the tools

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "rotator"
MODES = sorted(file.stem for file in (CHART / "ci").glob("*.yaml"))
OLDEST = "1.29.0"
NEWEST = "1.37.0"
"""What the chart allows, and the newest whose schemas are at hand."""

OPERATORS = "ServiceMonitor,PrometheusRule"
"""Kinds of Prometheus' operator, whose schemas are not Kubernetes'."""


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HELM_CACHE_HOME": "/nonexistent", "HELM_CONFIG_HOME": "/nonexistent"}
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, timeout=60, check=False, env=env)


def rendered(values: Path, *arguments: str, version: str = OLDEST) -> str:
    done = helm(
        "template", "rotator", CHART, "--namespace", "tokens", "--kube-version", version, "--values", values, *arguments
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def values_of(mode: str) -> Path:
    return CHART / "ci" / f"{mode}.yaml"


def by_kind(text: str) -> dict[str, Any]:
    """Return what is made, by kind; the chart makes one of each."""
    found = [one for one in yaml.safe_load_all(text) if one]
    kinds = {one["kind"]: one for one in found}
    assert len(kinds) == len(found)
    return kinds


@cache
def manifests(mode: str) -> dict[str, Any]:
    return by_kind(rendered(values_of(mode)))


def workload(mode: str) -> Any:
    found = manifests(mode)
    return (found.get("Deployment") or found.get("StatefulSet") or found["CronJob"]["spec"]["jobTemplate"])["spec"]


def pod(mode: str) -> Any:
    return workload(mode)["template"]


def container(mode: str) -> Any:
    [only] = pod(mode)["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function to the folder with the strict schemas of a version, which name each other by file there.

    In the package they name each other by addresses of kubernetes.io, which nothing answers.
    """

    @cache
    def made(version: str) -> Path:
        source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}-local-strict"
        target = tmp_path_factory.mktemp("schemas")
        for file in [source / "_definitions.json", *source.glob("*-v1.json")]:
            schema = json.loads(file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
            schema.pop("$id", None)
            (target / file.name).write_text(json.dumps(schema))
        return target

    return made


def conforms(text: str, schemas: Path) -> str:
    """Return what kubeconform has against manifests; empty when nothing."""
    done = subprocess.run(
        [
            tool("kubeconform"), "-strict", "-output", "json", "-skip", OPERATORS,
            "-schema-location", f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", "-",
        ],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout).get("resources") or []
    assert (found == []) == (done.returncode == 0)
    return "\n".join(one["msg"] for one in found)


@pytest.mark.parametrize("mode", MODES)
def test_the_linter_finds_nothing(mode: str) -> None:
    """Strictly, with the values of each mode."""
    done = helm("lint", "--strict", CHART, "--kube-version", OLDEST, "--values", values_of(mode))
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("mode", MODES)
def test_kubernetes_takes_what_is_rendered(mode: str, version: str, schemas: Callable[[str], Path]) -> None:
    """By its own schemas, with unknown fields refused."""
    assert conforms(rendered(values_of(mode), version=version), schemas(version)) == ""


def test_its_schemas_refuse_what_is_misspelt(schemas: Callable[[str], Path]) -> None:
    """The check above can fail, also deep inside a pod."""
    text = rendered(values_of("cronjob"))
    for right in ("concurrencyPolicy", "readOnlyRootFilesystem"):
        assert right[:-1] in conforms(text.replace(right, right[:-1]), schemas(OLDEST))


@pytest.mark.parametrize("mode", sorted(set(MODES) - {"cronjob-shards"}))
def test_the_configuration_is_one_that_rotator_takes(mode: str, tmp_path: Path) -> None:
    """The text of the config map, with what the chart adds; the other mode brings a map of its own."""
    file = tmp_path / "rotator.yaml"
    file.write_text(manifests(mode)["ConfigMap"]["data"]["rotator.yaml"])
    settings = load_config(file, {"ACME_CLIENT_SECRET": "x", "ROTATOR_HTTP_TOKEN": "y"})
    assert (settings.http is not None) == ("CronJob" not in manifests(mode))


@pytest.mark.parametrize("mode", MODES)
def test_pods_are_restricted(mode: str) -> None:
    """As the Pod Security Standards' `restricted` asks, with a read-only root besides; no token of the cluster."""
    spec, inside = pod(mode)["spec"], container(mode)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    assert all((volume.keys() - {"name"}) <= allowed for volume in spec["volumes"])
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}


@pytest.mark.parametrize("mode", MODES)
def test_a_pod_has_the_time_to_finish(mode: str) -> None:
    """Longer than the longest default timeout of a provider, and half a minute for what follows the answer."""
    assert pod(mode)["spec"]["terminationGracePeriodSeconds"] >= 30 + 30


@pytest.mark.parametrize("mode", MODES)
def test_the_command_is_one_that_rotator_knows(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options parsed by the program itself."""
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    name, *options = container(mode)["args"]
    command = rotator.commands[name]
    with command.make_context(name, options) as context:
        assert context.params["shard"] in (None, Shard(0, 8), Shard(0, 3))


@pytest.mark.parametrize("mode", ["cronjob", "cronjob-shards"])
def test_the_horizon_reaches_to_the_next_pass_at_its_latest(mode: str) -> None:
    """What ends before it is rotated by this one; and no two passes overlap."""
    spec = manifests(mode)["CronJob"]["spec"]
    minutes = int(spec["schedule"].removeprefix("*/").split()[0])
    [horizon] = [one for one in container(mode)["args"] if one.startswith("--horizon=")]
    assert float(horizon.removeprefix("--horizon=").removesuffix("s")) > 60 * minutes + spec["startingDeadlineSeconds"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert workload(mode)["activeDeadlineSeconds"] > 60 * minutes


def test_every_hour_is_on_the_hour() -> None:
    """`*/60` is no schedule."""
    found = by_kind(rendered(values_of("cronjob"), "--set", "cronjob.everyMinutes=60"))
    assert found["CronJob"]["spec"]["schedule"] == "0 * * * *"


def test_an_indexed_job_has_a_pod_for_each_shard_and_none_ends_the_others() -> None:
    """Each takes its number from the index that Kubernetes gives it."""
    job = workload("cronjob-shards")
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 8, 8)
    assert job["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in job
    assert "--shard=auto/8" in container("cronjob-shards")["args"]


def test_a_stateful_set_has_two_pods_for_each_shard() -> None:
    """By their ordinals, modulo the number of shards."""
    spec = workload("statefulset")
    assert spec["replicas"] == 6
    assert spec["podManagementPolicy"] == "Parallel"
    [index] = [one for one in container("statefulset")["env"] if one["name"] == "ROTATOR_SHARD_INDEX"]
    assert index["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    shards = [Shard.read("auto/3", {"ROTATOR_SHARD_INDEX": str(ordinal)}).number for ordinal in range(6)]
    assert sorted(shards) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("mode", ["deployment", "statefulset"])
def test_daemons_are_probed_and_not_evicted_together(mode: str) -> None:
    """At the listener that the configuration has; a node that is drained takes one at a time."""
    inside = container(mode)
    assert inside["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert inside["readinessProbe"]["httpGet"]["path"] == "/readyz"
    [port] = inside["ports"]
    config = yaml.safe_load(manifests(mode)["ConfigMap"]["data"]["rotator.yaml"])
    assert config["http"]["listen"] == f"0.0.0.0:{port['containerPort']}"  # whatever the configuration itself said
    assert manifests(mode)["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_a_map_of_ones_own_is_probed_only_where_it_listens() -> None:
    """Else the pods would be killed for not answering."""
    own = by_kind(rendered(values_of("statefulset"), "--set", "config=null", "--set", "existingConfigMap=mine"))
    [inside] = own["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert "livenessProbe" not in inside


@pytest.mark.parametrize("mode", MODES)
def test_whoever_selects_finds_the_pods(mode: str) -> None:
    """Labels and selectors of one chart must meet."""
    labels = pod(mode)["metadata"]["labels"].items()
    for kind, manifest in manifests(mode).items():
        spec = manifest.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector") or {}
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels, kind


def test_metrics_are_scraped_with_the_token_that_the_daemon_asks_for() -> None:
    """One Secret, on both sides."""
    [token] = [one for one in container("deployment")["env"] if one["name"] == "ROTATOR_HTTP_TOKEN"]
    [endpoint] = manifests("deployment")["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == token["valueFrom"]["secretKeyRef"]
    config = yaml.safe_load(manifests("deployment")["ConfigMap"]["data"]["rotator.yaml"])
    assert config["http"]["token"] == {"env": "ROTATOR_HTTP_TOKEN"}


def test_the_seal_key_lies_where_the_configuration_looks_for_it() -> None:
    """Readable to the pod's group alone."""
    config = yaml.safe_load(manifests("deployment")["ConfigMap"]["data"]["rotator.yaml"])
    [mount] = [one for one in container("deployment")["volumeMounts"] if one["name"] == "seal"]
    [volume] = [one["secret"] for one in pod("deployment")["spec"]["volumes"] if one["name"] == "seal"]
    assert config["seal"]["key_file"] == f"{mount['mountPath']}/{volume['items'][0]['path']}"
    assert volume["defaultMode"] == 0o440


@pytest.mark.parametrize("mode", ["deployment", "cronjob-shards"])
def test_alerts_name_what_there_is(mode: str) -> None:
    """No placeholder is left in them."""
    [group] = manifests(mode)["PrometheusRule"]["spec"]["groups"]
    assert len(group["rules"]) >= 2
    for rule in group["rules"]:
        assert "NAME" not in rule["expr"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_alerts_link_to_where_the_runbooks_are() -> None:
    """At the address that is given; one with a fragment, or a space, is refused."""
    given = ("--set", "prometheusRule.runbookBase=https://wiki.example/rotator")
    [group] = by_kind(rendered(values_of("deployment"), *given))["PrometheusRule"]["spec"]["groups"]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in group["rules"]}
    assert links["RotatorGone"] == "https://wiki.example/rotator#rotatorgone"
    assert all(link.startswith("https://wiki.example/rotator#") for link in links.values())
    wrong = helm("template", "rotator", CHART, "--values", values_of("deployment"), *given[:1], given[1] + "#top")
    assert "runbookBase" in wrong.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["mode=deployment"], "there is no configuration"),
        (["existingConfigMap=mine", "config.version=1"], "keep one"),
        (["config.version=1"], "state of the configuration would be lost with the pod"),
        (["config.version=1", "mode=cronjob"], "state of the configuration would be lost with the pod"),
        (["config.version=1", "persistence.existingClaim=x"], "is for one process"),
        (["existingConfigMap=mine", "persistence.existingClaim=x"], "is for one process"),
        (["config.version=1", "config.state.type=vault", "config.audit[0].path=a.jsonl"], "audit of the configuration"),
        (["config.version=1", "config.state.type=vault", "config.stores.a.type=local"], "stores.a of the config"),
        (["config.version=1", "config.state.type=vault", "config.escrow.type=file"], "escrow of the configuration"),
        (["existingConfigMap=mine", "mode=cron"], "mode"),
        (["existingConfigMap=mine", "cronjob.everyMinutes=7"], "everyMinutes"),
        (["existingConfigMap=mine", "cronjob.every=5"], "every"),
        (["existingConfigMap=mine", "shards=0"], "shards"),
        (["existingConfigMap=mine", "deployment.terminationGracePeriodSeconds=5"], "terminationGracePeriodSeconds"),
        (["existingConfigMap=mine", "mode=cronjob", "serviceMonitor.enabled=true"], "nobody to scrape"),
        (["existingConfigMap=mine", "serviceMonitor.enabled=true"], "nobody to scrape"),
        (["existingConfigMap=mine", "http.configured=true", "serviceMonitor.enabled=true"], "needs http.tokenSecret"),
        (["existingConfigMap=mine", "prometheusRule.enabled=true"], "needs serviceMonitor.enabled"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_installed(settings: list[str], told: str) -> None:
    """With what to change."""
    done = helm(
        "template", "rotator", CHART, "--kube-version", OLDEST, *(part for one in settings for part in ("--set", one))
    )
    assert done.returncode != 0
    assert told in done.stderr


def test_the_chart_has_the_version_of_what_it_runs() -> None:
    """So that the image's tag needs no word."""
    from rotator import __version__

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
