"""A policy that keeps tenants from claiming addresses that are not theirs."""

from __future__ import annotations

from tracer.diagnosis.finding import Finding

CLAIMS = frozenset(
    {"external-ip-hijack", "ipvs-external-ip-is-node-ip", "ipvs-external-ip-blackhole-any-ip"}
)
"""Causes that the policy would have prevented."""

POLICY = """\
# Lets only addresses of your own ranges into spec.externalIPs (Kubernetes 1.31 and later).
# Put your ranges into "allowed"; an empty list forbids externalIPs altogether, as the admission
# plug-in DenyServiceExternalIPs does. Load balancer addresses come through services/status:
# keep that right out of tenants' roles.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: service-external-ips
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["v1"]
      operations: ["CREATE", "UPDATE"]
      resources: ["services"]
  matchConditions:
  - name: external-ips-are-set-or-changed
    expression: >-
      object.spec.?externalIPs.orValue([]) !=
      (oldObject == null ? [] : oldObject.spec.?externalIPs.orValue([]))
  variables:
  - name: allowed
    expression: '["192.0.2.0/24"]'
  validations:
  - expression: >-
      object.spec.?externalIPs.orValue([]).all(ip,
      variables.allowed.exists(range, cidr(range).containsIP(ip)))
    message: spec.externalIPs may only hold addresses of the ranges set aside for it
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: service-external-ips
spec:
  policyName: service-external-ips
  validationActions: [Deny]
"""


def wanted(findings: tuple[Finding, ...]) -> bool:
    """Whether one of these findings is what the policy is against."""
    return any(finding.cause in CLAIMS for finding in findings)
