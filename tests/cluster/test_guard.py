"""The policy that ``viptrace audit --guard`` prints, enforced by a real API server."""

from __future__ import annotations

import time

import pytest
import yaml

from lab.real.access import ADMIN
from lab.real.api import Api, ApiFailure
from lab.real.control_plane import ControlPlane
from lab.real.suite import why_skipped
from tracer.diagnosis.guard import POLICY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SERVICES = "/api/v1/namespaces/default/services"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    why = why_skipped(())
    if why:
        pytest.skip(why)
    with ControlPlane(tmp_path_factory.mktemp("plane"), lambda text: None) as access:
        yield Api(access, ADMIN)


def service(name: str, *ips: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "externalIPs": list(ips)},
    }


def refused(api: Api, name: str, *ips: str) -> str:
    """Why the Service may not be made; empty if it may."""
    try:
        api.create(SERVICES, service(name, *ips))
    except ApiFailure as error:
        return f"{error.what} {error.why}"
    return ""


def test_only_addresses_of_the_allowed_ranges_are_let_in(api):
    api.create(SERVICES, service("before", "10.0.0.5"))
    policy, binding = yaml.safe_load_all(POLICY)
    api.create(POLICIES, policy)
    api.create(BINDINGS, binding)
    ends_at = time.monotonic() + PATIENCE_S
    turn = 0
    while not (why := refused(api, f"tried-{turn}", "10.0.0.5")):  # it takes a moment to be known
        assert time.monotonic() < ends_at
        turn += 1
        time.sleep(0.5)
    assert "may only hold addresses of the ranges set aside for it" in why
    assert refused(api, "mixed", "192.0.2.7", "10.0.0.5")
    assert refused(api, "allowed", "192.0.2.7") == ""
    assert refused(api, "plain") == ""
    # What was there before may be changed in other ways, and may not claim more.
    api.merge(f"{SERVICES}/before", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(ApiFailure):
        api.merge(f"{SERVICES}/before", {"spec": {"externalIPs": ["10.0.0.6"]}})
    api.merge(f"{SERVICES}/before", {"spec": {"externalIPs": ["192.0.2.8"]}})
