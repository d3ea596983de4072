"""Which fields of which objects are values, and on what objects and fields depend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Parameter:
    """A field that a value sets. An empty value or null omits the field, unless the field is required."""

    value: str
    """The path of the value: `gateway.resources`."""
    kind: str
    name: str
    """The object's name, without suffix and hash."""
    path: Path
    is_required: bool = False


_POD: Final[Path] = ("spec", "template", "spec")


def _of_a_plane(plane: str) -> tuple[Parameter, ...]:
    """Return the parameters that both Deployments have."""
    name = f"inferway-{plane}"

    def parameter(value: str, *path: str | int) -> Parameter:
        return Parameter(value, "Deployment", name, path)

    return (
        parameter(f"{plane}.resources", *_POD, "containers", 0, "resources"),
        parameter(f"{plane}.image.pullPolicy", *_POD, "containers", 0, "imagePullPolicy"),
        parameter(f"{plane}.topologySpreadConstraints", *_POD, "topologySpreadConstraints"),
        parameter(f"{plane}.nodeSelector", *_POD, "nodeSelector"),
        parameter(f"{plane}.tolerations", *_POD, "tolerations"),
        parameter(f"{plane}.affinity", *_POD, "affinity"),
        parameter("imagePullSecrets", *_POD, "imagePullSecrets"),
        parameter(f"{plane}.podAnnotations", "spec", "template", "metadata", "annotations"),
    )


_AUTOSCALER: Final = ("HorizontalPodAutoscaler", "inferway-gateway")
_SERVICE: Final = ("Service", "inferway-gateway")
_WEBHOOK: Final = ("ValidatingWebhookConfiguration", "inferway")

PARAMETERS: Final = (
    *_of_a_plane("operator"),
    *_of_a_plane("gateway"),
    Parameter("operator.replicas", "Deployment", "inferway-operator", ("spec", "replicas"), is_required=True),
    Parameter(
        "gateway.terminationGracePeriodSeconds",
        "Deployment",
        "inferway-gateway",
        (*_POD, "terminationGracePeriodSeconds"),
        is_required=True,
    ),
    Parameter("gateway.minReadySeconds", "Deployment", "inferway-gateway", ("spec", "minReadySeconds")),
    Parameter("gateway.autoscaling.minReplicas", *_AUTOSCALER, ("spec", "minReplicas"), is_required=True),
    Parameter("gateway.autoscaling.maxReplicas", *_AUTOSCALER, ("spec", "maxReplicas"), is_required=True),
    Parameter("gateway.autoscaling.metrics", *_AUTOSCALER, ("spec", "metrics"), is_required=True),
    Parameter("gateway.autoscaling.behavior", *_AUTOSCALER, ("spec", "behavior")),
    Parameter("gateway.service.type", *_SERVICE, ("spec", "type")),
    Parameter("gateway.service.externalTrafficPolicy", *_SERVICE, ("spec", "externalTrafficPolicy")),
    Parameter("gateway.service.annotations", *_SERVICE, ("metadata", "annotations")),
    Parameter("gateway.service.nodePort", *_SERVICE, ("spec", "ports", 0, "nodePort")),
    Parameter("gateway.service.loadBalancerClass", *_SERVICE, ("spec", "loadBalancerClass")),
    Parameter("gateway.service.loadBalancerSourceRanges", *_SERVICE, ("spec", "loadBalancerSourceRanges")),
    Parameter(
        "networkPolicies.apiServer", "NetworkPolicy", "inferway-gateway", ("spec", "egress", 0, "to"), is_required=True
    ),
    Parameter(
        "networkPolicies.apiServer", "NetworkPolicy", "inferway-operator", ("spec", "egress", 0, "to"), is_required=True
    ),
    Parameter(
        "networkPolicies.dns", "NetworkPolicy", "inferway-gateway", ("spec", "egress", 2, "to"), is_required=True
    ),
    Parameter("webhook.networkPolicy.from", "NetworkPolicy", "inferway-webhook", ("spec", "ingress", 0, "from")),
    Parameter("webhook.caBundle", *_WEBHOOK, ("webhooks", 0, "clientConfig", "caBundle")),
    Parameter("webhook.failurePolicy", *_WEBHOOK, ("webhooks", 0, "failurePolicy"), is_required=True),
    Parameter("webhook.timeoutSeconds", *_WEBHOOK, ("webhooks", 0, "timeoutSeconds"), is_required=True),
)

HAS_POLICY: Final = "not (kindIs `invalid` .Values.hostnamePolicy)"
HAS_WEBHOOK: Final = ".Values.webhook.enabled"
_BUDGETS: Final = ".Values.disruptionBudgets.create"
_CLASS: Final = ".Values.priorityClass.create"

# By kind, and by kind and name; the name's entry counts.
OBJECTS: Final[Mapping[tuple[str, ...], str]] = {
    ("CustomResourceDefinition",): ".Values.crds.install",
    ("Namespace",): ".Values.namespaces.create",
    ("ClusterRole", "inferway-view"): ".Values.roles.aggregate",
    ("ClusterRole", "inferway-edit"): ".Values.roles.aggregate",
    ("ConfigMap", "inferway-hostname-policy"): HAS_POLICY,
    ("ConfigMap", "inferway-dashboard"): ".Values.monitoring.dashboard.create",
    ("PodDisruptionBudget",): _BUDGETS,
    ("PriorityClass",): _CLASS,
    ("HorizontalPodAutoscaler",): ".Values.gateway.autoscaling.enabled",
    ("NetworkPolicy",): ".Values.networkPolicies.create",
    ("NetworkPolicy", "inferway-webhook"): f"and {HAS_WEBHOOK} .Values.webhook.networkPolicy.create",
    ("Service", "inferway-webhook"): HAS_WEBHOOK,
    ("ValidatingWebhookConfiguration",): HAS_WEBHOOK,
    ("ServiceMonitor",): ".Values.monitoring.serviceMonitors.create",
    ("PrometheusRule",): ".Values.monitoring.rules.create",
}

OPERATOR_LISTS: Final[Sequence[Path]] = (
    (*_POD, "containers", 0, "ports"),
    (*_POD, "containers", 0, "volumeMounts"),
    (*_POD, "volumes"),
)
"""Lists of the operator's pod whose items, by `name`, may depend on the webhook or the hostname policy."""
PRIORITY: Final[Path] = (*_POD, "priorityClassName")
REPLICAS_WITHOUT_AUTOSCALER: Final = "not .Values.gateway.autoscaling.enabled"
PRIORITY_CONDITION: Final = _CLASS
MONITORING_LABELS: Final[Mapping[str, str]] = {
    "ServiceMonitor": "monitoring.serviceMonitors.labels",
    "PrometheusRule": "monitoring.rules.labels",
}


def condition_of(kind: str, name: str) -> str:
    """Return the condition of an object, or an empty text."""
    return OBJECTS.get((kind, name), OBJECTS.get((kind,), ""))


def any_of(conditions: Sequence[str]) -> str:
    """Return the condition that holds if one of some conditions holds."""
    return f"or {' '.join(f'({condition})' for condition in conditions)}"
