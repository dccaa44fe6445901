"""What is deployed fits what is built: rights, arguments, metric names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tracer.cli import viptrace
from tracer.metrics.counts import Figures
from tracer.metrics.families import Families

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
MONITORING = DEPLOY / "monitoring"
FULL = Figures(
    services=(("", "", "", ""),),
    translations=((1, 1, 1, 1),),
    outcomes=((1, 1, 1),),
    waits=((0,) * 9,),
    wait_sums_s=(0.0,),
    findings_open={("a", "critical", "b", "c"): 1},
    findings_total={("a", "critical"): 1},
    drops={"r": 1},
)


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def container() -> dict:
    (daemonset,) = documents("daemonset.yaml")
    (found,) = daemonset["spec"]["template"]["spec"]["containers"]
    return found


def told() -> dict[str, set[str]]:
    """Labels by name of every series viptrace can tell."""
    found: dict[str, set[str]] = {}
    for family in Families(lambda: FULL).collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("name", ["alerts.yaml", "alerts_test.yaml", "dashboard.json"])
def test_alerts_and_dashboard_ask_for_series_that_there_are(name):
    asked = set(re.findall(r"viptrace_[a-z_]+", (MONITORING / name).read_text()))
    assert asked
    assert asked <= told().keys()


def test_the_dashboard_has_a_query_in_every_panel():
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def test_the_daemonset_s_arguments_are_understood():
    arguments = [item.replace("$(HOST_IP)", "10.0.0.1") for item in container()["args"]]
    result = CliRunner().invoke(viptrace, [*arguments, "--help"])
    assert result.exit_code == 0
    known = {name for param in viptrace.commands["record"].params for name in param.opts}
    given = {item.partition("=")[0] for item in arguments[1:]}
    assert given <= known


def test_the_daemonset_asks_for_capabilities_instead_of_everything():
    context = container()["securityContext"]
    assert context["privileged"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert {"SYS_MODULE", "DAC_OVERRIDE"}.isdisjoint(context["capabilities"]["add"])
    assert container()["resources"]["limits"].keys() == {"cpu", "memory"}


def test_one_component_replaces_sys_admin_where_it_stands():
    (component,) = documents("perfmon/kustomization.yaml")
    tested, replaced = yaml.safe_load(component["patches"][0]["patch"])
    place = "/spec/template/spec/containers/0/securityContext/capabilities/add/0"
    assert (tested["op"], tested["path"], replaced["path"]) == ("test", place, place)
    asked = container()["securityContext"]["capabilities"]["add"]
    assert tested["value"] == asked[0] == "SYS_ADMIN"
    assert replaced["value"] == "PERFMON"
    assert "BPF" in asked


def test_the_probe_looks_where_the_ready_file_is_written():
    (flag,) = [item for item in container()["args"] if item.startswith("--ready-file=")]
    assert flag.partition("=")[2] in container()["startupProbe"]["exec"]["command"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_agrees():
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=MONITORING, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_builds_with_and_without_components(tmp_path):
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    plain = built(tmp_path / "deploy")
    with (tmp_path / "deploy/kustomization.yaml").open("a") as file:
        file.write("components: [events, perfmon]\n")
    with_both = built(tmp_path / "deploy")
    kinds = [item["kind"] for item in plain]
    assert sorted(kinds) == [
        *("ClusterRole", "ClusterRoleBinding", "DaemonSet", "Namespace", "Service"),
        "ServiceAccount",
    ]
    (daemonset,) = [item for item in with_both if item["kind"] == "DaemonSet"]
    (changed,) = daemonset["spec"]["template"]["spec"]["containers"]
    assert "--events" in changed["args"]
    asked = set(changed["securityContext"]["capabilities"]["add"])
    assert "PERFMON" in asked
    assert "SYS_ADMIN" not in asked
    roles = [item["metadata"]["name"] for item in with_both if item["kind"] == "ClusterRole"]
    assert sorted(roles) == ["viptrace", "viptrace-events"]


def built(folder: Path) -> list[dict]:
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))
