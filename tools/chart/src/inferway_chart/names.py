"""Names in the rendered objects as actions: the suffix, the gateway, both namespaces, ConfigMaps with a hash."""

import re
from typing import Any, Final

from inferway_chart.rendering import GATEWAY, SUFFIX

OPERATOR: Final = "{{ .Values.namespaces.operator }}"
_ACTIONS: Final = (
    (
        re.compile(rf"inferway-((?:operator|gateway)-settings|hostname-policy){SUFFIX}-[a-z0-9]{{10}}"),
        r"{{ include `inferway.configMapName` (list $ `\1`) }}",
    ),
    (re.compile(SUFFIX), "{{ .Values.nameSuffix }}"),
    (re.compile(GATEWAY), "{{ .Values.gatewayName }}"),
    (re.compile(r"inferway-system\b"), "{{ .Values.namespaces.gateway }}"),
    # A namespace in a command, and in the annotation of cert-manager.
    (re.compile(r"(?<=-n )inferway-operator\b|^inferway-operator(?=/)"), OPERATOR),
)


def with_actions(node: Any, key: str = "") -> Any:
    """Replace the names in all strings of an object. `key` is the name of the field that contains the node."""
    if isinstance(node, dict):
        return {name: with_actions(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [with_actions(item, key) for item in node]
    if not isinstance(node, str):
        return node
    # Braces of other template languages, such as those in alerts, are text.
    node = node.replace("{{", "{{ `{{` }}")
    if node == "inferway-operator" and key in ("namespace", "kubernetes.io/metadata.name"):
        return OPERATOR
    for pattern, action in _ACTIONS:
        node = pattern.sub(action, node)
    return node
