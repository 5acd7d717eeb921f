"""deploy/ held to the code: valid manifests, users apart, settings and metrics that exist, the same names all over."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import trustme
import typer
import yaml

from proxy_addon import admin, ca, settings
from proxy_addon.metrics import Metrics
from reports import fleet_cli
from tests.end_to_end.harness import make_site, running
from tests.test_image import SHIPPED, STAGES

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
PROXY_UID, CRAWLER_UID = 65532, 10001


def documents(*names: str) -> list[dict[str, Any]]:
    paths = [DEPLOY / "kubernetes" / name for name in names] or sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


MANIFESTS = [document for document in documents() if document["kind"] != "Kustomization"]


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]  # type: ignore[no-any-return]


PODS = {document["kind"]: pod_of(document) for document in MANIFESTS if document["kind"] in {"StatefulSet", "CronJob"}}


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    spec = pod["spec"]
    return next(one for one in spec["initContainers"] + spec["containers"] if one["name"] == name)  # type: ignore[no-any-return]


def variables(one: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "a-name") for item in one.get("env", [])}


def mounted(one: dict[str, Any]) -> set[str]:
    return {mount["name"] for mount in one.get("volumeMounts", [])}


def loaded(environment: dict[str, str], config: Path | None, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """The settings as a sidecar with that environment and file has them; unknown names are refused."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings.load(config)


# ---- Kubernetes


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_a_manifest_is_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_validation_can_fail() -> None:
    wrong = documents("persistentvolumeclaim.yaml")[0]
    wrong["spec"]["acessModes"] = wrong["spec"].pop("accessModes")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_the_kustomization_names_every_manifest_and_every_image_that_is_ours() -> None:
    kustomization = documents("kustomization.yaml")[0]
    there = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == there
    ours = {one["image"] for pod in PODS.values() for one in pod["spec"]["initContainers"]}
    assert {image["name"] for image in kustomization["images"]} == ours
    assert all(image["newName"].endswith("/" + image["name"]) for image in kustomization["images"])
    assert {one["metadata"].get("namespace", kustomization["namespace"]) for one in MANIFESTS} == {"crawl-audit"}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_crawler_and_sidecar_are_different_users_without_rights(pod: dict[str, Any]) -> None:
    users = {name: container(pod, name)["securityContext"]["runAsUser"] for name in ("crawl-audit-proxy", "crawler")}
    assert users == {"crawl-audit-proxy": PROXY_UID, "crawler": CRAWLER_UID}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in pod["spec"]["initContainers"] + pod["spec"]["containers"]:
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert not context.get("privileged")
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["capabilities"].get("add", []) == (["NET_ADMIN"] if one["name"] == "egress" else [])
        assert "memory" in one["resources"]["limits"]
    for shared in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        assert not pod["spec"].get(shared)
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_crawler_has_neither_the_key_nor_the_log_nor_the_settings(pod: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    sidecar, crawler = container(pod, "crawl-audit-proxy"), container(pod, "crawler")
    assert {"log", "key"} <= mounted(sidecar)
    assert mounted(sidecar) & mounted(crawler) == set()
    secrets = {name for name, volume in volumes.items() if "secret" in volume}
    claims = {name for name, volume in volumes.items() if "persistentVolumeClaim" in volume} | {"log"}
    assert mounted(crawler) & (secrets | claims) == set()
    assert all(item.get("valueFrom") is None for item in crawler["env"])
    trust = next(mount for mount in crawler["volumeMounts"] if mount["name"] == "trust")
    assert volumes["trust"]["configMap"] and trust["readOnly"] is True
    assert variables(crawler)["SSL_CERT_FILE"] == f"{trust['mountPath']}/{ca.CERTIFICATE_FILE}"


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_rules_are_loaded_before_the_sidecar_starts_and_the_crawler_starts_when_it_is_ready(
    pod: dict[str, Any],
) -> None:
    egress, sidecar = pod["spec"]["initContainers"]
    assert (egress["name"], egress.get("restartPolicy")) == ("egress", None)
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("crawl-audit-proxy", "Always")
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert sidecar["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/livez"
    port = next(port["containerPort"] for port in sidecar["ports"] if port["name"] == "admin")
    assert settings.split_address(variables(sidecar)["CRAWL_AUDIT_ADMIN"]) == ("0.0.0.0", port)
    # Readiness has to fail within 5 s of a full disk.
    readiness = sidecar["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 5


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_environment_and_the_file_of_the_sidecar_are_settings(
    pod: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = container(pod, "crawl-audit-proxy")
    text = documents("settings.yaml")[0]["data"]["crawl-audit.toml"]
    file = tmp_path / "crawl-audit.toml"
    file.write_text(text)
    chosen = loaded(variables(sidecar), file, monkeypatch)
    assert (chosen.listen, chosen.crawlers[0].id) == ("127.0.0.1:8080", tomllib.loads(text)["crawlers"][0]["id"])
    places = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    assert (str(chosen.log), str(chosen.ca)) == (places["log"], places["key"])
    assert sidecar["args"][-1] == f"{places['settings']}/{file.name}"
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 2 * chosen.drain_timeout_s
    # A Service called crawl-audit-… would add variables that are no settings, and the sidecar would refuse to start.
    assert pod["spec"]["enableServiceLinks"] is False
    proxy = f"http://{chosen.listen}"
    proxies = {name: value for name, value in variables(container(pod, "crawler")).items() if "proxy" in name.lower()}
    assert proxies == dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)


def test_policies_deny_by_default_and_pods_with_a_sidecar_reach_dns_and_the_public_internet_only() -> None:
    deny, allow = documents("networkpolicy.yaml")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = allow["spec"]["podSelector"]["matchLabels"].items()
    assert all(labels <= pod["metadata"]["labels"].items() for pod in PODS.values())
    dns, internet = allow["spec"]["egress"]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert {(port["protocol"], port["port"]) for port in internet["ports"]} == {("TCP", 80), ("TCP", 443)}
    v4 = next(peer["ipBlock"] for peer in internet["to"] if peer["ipBlock"]["cidr"] == "0.0.0.0/0")
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(v4["except"])


# ---- Compose

COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_compose_file_builds_targets_that_exist() -> None:
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["build"]["target"] in SHIPPED, name
            assert (DEPLOY / "compose" / service["build"]["context"] / "Dockerfile").is_file()


def test_the_crawler_of_the_compose_file_has_no_network_but_the_one_to_the_sidecar() -> None:
    crawler, proxy = SERVICES["crawler"], SERVICES["proxy"]
    assert crawler["networks"] == ["inside"] and COMPOSE["networks"]["inside"] == {"internal": True}
    assert set(proxy["networks"]) == {"inside", "outside"}
    assert crawler["user"] == f"{CRAWLER_UID}:{CRAWLER_UID}"
    assert crawler["volumes"] == ["trust:/trust:ro"]
    assert crawler["dns"] == ["127.0.0.1"]
    assert crawler["depends_on"]["proxy"] == {"condition": "service_healthy"}
    port = STAGES["proxy"].last("EXPOSE").split()[0]
    assert crawler["environment"]["HTTPS_PROXY"] == f"http://proxy:{port}"
    assert not any("ports" in service for service in SERVICES.values())


def test_every_container_of_the_compose_file_is_confined() -> None:
    for name, service in SERVICES.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "pid", "ipc"} & service.keys(), name


def test_the_sidecar_of_the_compose_file_has_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = loaded(SERVICES["proxy"]["environment"], None, monkeypatch)
    grace = int(SERVICES["proxy"]["stop_grace_period"].removesuffix("s"))
    assert grace >= 2 * chosen.drain_timeout_s
    probe = SERVICES["proxy"]["healthcheck"]["test"]
    compile(probe[-1], "healthcheck", "exec")
    assert "'/readyz'" in probe[-1]


# ---- systemd

# What systemd.service(5), systemd.exec(5), systemd.resource-control(5) and systemd.unit(5) of version 252 know of what
# is used here; `systemd-analyze verify` is not everywhere.
DIRECTIVES = {
    "Unit": "Description Documentation Wants After StartLimitIntervalSec StartLimitBurst".split(),
    "Service": (
        "Type ExecStart Environment LoadCredential User Group StateDirectory StateDirectoryMode UMask TimeoutStopSec"
        " KillMode Restart RestartSec RestartPreventExitStatus LimitNOFILE LimitCORE MemoryMax TasksMax NoNewPrivileges"
        " CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome ProtectProc ProcSubset PrivateTmp"
        " PrivateDevices PrivateUsers ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs"
        " ProtectKernelModules ProtectKernelTunables LockPersonality RemoveIPC RestrictAddressFamilies"
        " RestrictNamespaces RestrictRealtime RestrictSUIDSGID SystemCallArchitectures SystemCallFilter"
        " SystemCallErrorNumber"
    ).split(),
    "Install": ["WantedBy"],
}


def directives() -> list[tuple[str, str, str]]:
    """(section, name, value) of every line of the unit."""
    found, section = [], ""
    for line in (DEPLOY / "systemd" / "crawl-audit-proxy.service").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found


def test_every_directive_of_the_unit_is_known_to_systemd() -> None:
    assert [(section, name) for section, name, _ in directives() if name not in DIRECTIVES[section]] == []


def test_the_unit_runs_with_settings_that_exist_and_is_hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = directives()
    value = {name: one for _, name, one in unit}
    environment = dict(one.split("=", 1) for _, name, one in unit if name == "Environment")
    chosen = loaded(environment, None, monkeypatch)
    assert chosen.log.is_relative_to(f"/var/lib/{value['StateDirectory']}")
    assert value["LoadCredential"].partition(":")[0] == ca.KEY_FILE and str(chosen.ca) == "%d"
    assert int(value["TimeoutStopSec"]) >= 2 * chosen.drain_timeout_s
    assert (value["ProtectSystem"], value["NoNewPrivileges"], value["CapabilityBoundingSet"]) == ("strict", "yes", "")
    assert (value["Restart"], value["RestartPreventExitStatus"]) == ("on-failure", "78")
    assert int(value["LimitNOFILE"]) >= 20_000


# ---- Egress rules


def test_the_egress_rules_are_about_the_sidecars_user_and_ports() -> None:
    rules = (DEPLOY / "egress" / "sidecar.nft").read_text(encoding="utf-8")
    defined = dict(re.findall(r"^define (\w+) = (\d+)$", rules, re.MULTILINE))
    listen, admin_port = STAGES["proxy"].last("EXPOSE").split()
    assert defined == {"proxy_uid": str(PROXY_UID), "proxy_port": listen, "admin_port": admin_port}
    assert re.findall(r"hook (?:output|input|forward) .*policy (\w+);", rules) == ["drop"] * 3
    counters = set(re.findall(r"^    counter (\w+)", rules, re.MULTILINE))
    assert counters == set(re.findall(r"counter name (\w+)", rules))


# ---- Metrics


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The series a running sidecar has, with the labels each may bear."""
    directory = tmp_path_factory.mktemp("deploy")
    trustme.CA().cert_pem.write_to_path(str(directory / "origins.pem"))
    with running(make_site(directory, directory / "origins.pem"), directory) as sidecar:
        text = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
    found: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
        endings = {"histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
        found |= {name + ending: {"le"} if ending == "_bucket" else set() for ending in endings}
    for line in text.splitlines():
        if (match := re.match(r"(\w+)\{(.*)\} ", line)) and match[1] in found:
            found[match[1]] |= set(re.findall(r'(\w+)="', match[2]))
    return found


def label_names() -> dict[str, set[str]]:
    """The labels of counters of which no series exists before something was counted."""
    collectors = Metrics().registry._collector_to_names
    return {name: set(getattr(one, "_labelnames", ())) for one, names in collectors.items() for name in names}


def expressions() -> Iterator[str]:
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


# What Prometheus adds to every series.
GIVEN = {"job", "instance"}


def unknown(expression: str, exposed: dict[str, set[str]], labels: dict[str, set[str]]) -> list[str]:
    """Series and labels in an expression that no sidecar has."""
    wrong = []
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = re.findall(r"\b((?:crawl_audit|process)_\w+)\b(?:\{([^}]*)\})?", bare)
    for name, selector in used:
        if name not in exposed:
            wrong.append(name)
        selected = set(re.findall(r"(\w+)\s*[=!]", selector)) - GIVEN
        wrong += sorted(f"{name}{{{label}}}" for label in selected - exposed.get(name, set()) - labels.get(name, set()))
    known = set().union(*(exposed.get(name, set()) | labels.get(name, set()) for name, _ in used)) | GIVEN
    for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", bare):
        wrong += sorted(set(re.findall(r"\w+", grouping)) - known)
    return wrong


def test_alerts_and_dashboard_ask_only_for_series_and_labels_that_exist(exposed: dict[str, set[str]]) -> None:
    labels = label_names()
    asked = list(expressions())
    assert len(asked) > 40
    assert {one: wrong for one in asked if (wrong := unknown(one, exposed, labels))} == {}


@pytest.mark.parametrize(
    "expression",
    [
        "crawl_audit_requests",
        "rate(crawl_audit_request_total[5m])",
        'crawl_audit_requests_total{host="a"}',
        "sum by (host) (crawl_audit_requests_total)",
    ],
)
def test_the_rule_about_series_can_fail(expression: str, exposed: dict[str, set[str]]) -> None:
    assert unknown(expression, exposed, label_names()) != []


def test_every_alert_has_a_case_says_what_to_do_and_how_bad_it_is() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    cases = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    tried = {case["alertname"] for test in cases for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert tried == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith(".")


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def test_the_probed_and_scraped_paths_are_those_of_the_admin_port() -> None:
    served = set(re.findall(r'r"(/\w+)"', Path(admin.__file__).read_text(encoding="utf-8")))
    assert {"/livez", "/readyz", "/metrics"} <= served


# ---- a fleet

FLEET = DEPLOY / "fleet"


def fleet(*parts: str) -> list[dict[str, Any]]:
    paths = sorted(FLEET.joinpath(*parts).glob("*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


FLEET_MANIFESTS = [document for document in fleet() if document["kind"] != "Kustomization"]
JOBS = [document for document in FLEET_MANIFESTS if document["kind"] == "CronJob"]


@pytest.mark.parametrize("document", FLEET_MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_a_manifest_of_the_fleet_is_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("part", [(), ("sidecars",)], ids=["jobs", "sidecars"])
def test_the_fleets_kustomizations_name_every_file(part: tuple[str, ...]) -> None:
    (kustomization,) = (one for one in fleet(*part) if one["kind"] == "Kustomization")
    named = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
    there = {path.name for path in FLEET.joinpath(*part).glob("*.yaml")} - {"kustomization.yaml"}
    assert named - {"../../kubernetes"} == there


@pytest.mark.parametrize("document", JOBS, ids=lambda one: one["metadata"]["name"])
def test_a_job_of_the_fleet_runs_confined_with_a_command_that_exists(document: dict[str, Any]) -> None:
    pod = pod_of(document)["spec"]
    (only,) = pod["containers"]
    context = only["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]} and "memory" in only["resources"]["limits"]
    assert document["spec"]["concurrencyPolicy"] == "Forbid"
    mounts = {mount["mountPath"] for mount in only["volumeMounts"]}
    assert {"/cache", "/tmp"} <= mounts
    group, command, *arguments = only["args"]
    known = {option for one in typer.main.get_group(fleet_app()).commands[command].params for option in one.opts}
    assert group == "fleet"
    assert {word for word in arguments if word.startswith("--")} <= known
    for word in arguments:
        if word.startswith("/"):
            assert any(word.startswith(mount) for mount in mounts), f"{word} lies in no volume"


def fleet_app() -> typer.Typer:
    made = typer.Typer()
    fleet_cli.register(made)
    return made.registered_groups[0].typer_instance


def test_a_sidecar_of_the_fleet_ships_and_its_crawler_is_nobody_for_the_store() -> None:
    (patch,) = (one for one in fleet("sidecars") if one["kind"] == "StatefulSet")
    (settings_map,) = (one for one in fleet("sidecars") if one["kind"] == "ConfigMap")
    (base,) = documents("statefulset.yaml")
    assert patch["metadata"] == {"name": base["metadata"]["name"], "namespace": base["metadata"]["namespace"]}
    (patched,) = patch["spec"]["template"]["spec"]["initContainers"]
    assert container(pod_of(base), "crawl-audit-proxy")["name"] == patched["name"]
    assert "containers" not in patch["spec"]["template"]["spec"]
    given = tomllib.loads(settings_map["data"]["crawl-audit.toml"])
    plain = tomllib.loads(documents("settings.yaml")[0]["data"]["crawl-audit.toml"])
    assert given.pop("ship")["url"].startswith("s3://")
    assert given == plain


def test_the_settings_of_a_sidecar_of_the_fleet_are_accepted(tmp_path: Path) -> None:
    (settings_map,) = (one for one in fleet("sidecars") if one["kind"] == "ConfigMap")
    file = tmp_path / "crawl-audit.toml"
    file.write_text(settings_map["data"]["crawl-audit.toml"], encoding="utf-8")
    chosen = settings.load(file)
    grace = pod_of(documents("statefulset.yaml")[0])["spec"]["terminationGracePeriodSeconds"]
    assert chosen.ship.drain_timeout_s + chosen.drain_timeout_s < grace
