"""Manifests into the cluster, in the order in which they can be understood, and waiting until everything is ready."""

from typing import Final

from inferway_cluster import kind

OVERLAY: Final = "manifests/overlays/dev"
SAMPLES: Final = "manifests/samples"
DEFINITIONS: Final = ("gatewayroutes.inferway.dev", "ratelimitpolicies.inferway.dev")
NAMESPACES: Final = ("inferway-operator", "inferway-system", "inferway-demo")
PATIENCE: Final = "180s"
"""For each wait."""


def install(root: str, *, is_new: bool) -> None:
    """Both planes and the samples. In a cluster that was there before, pods are replaced: their images may have changed under
    the same tag."""
    kind.kubectl("apply", "-k", f"{root}/{OVERLAY}")
    kind.kubectl(
        "wait", "--for=condition=Established", f"--timeout={PATIENCE}", *(f"crd/{name}" for name in DEFINITIONS)
    )
    kind.kubectl("apply", "-k", f"{root}/{SAMPLES}")
    if not is_new:
        for namespace in NAMESPACES:
            kind.kubectl("-n", namespace, "rollout", "restart", "deployment")
    for namespace in NAMESPACES:
        for deployment in kind.asked("-n", namespace, "get", "deployments", "-o", "name").split():
            kind.kubectl("-n", namespace, "rollout", "status", deployment, f"--timeout={PATIENCE}")
    for resource in ("gatewayroutes", "ratelimitpolicies"):
        kind.kubectl(
            "-n", "inferway-demo", "wait", "--for=condition=Programmed", "--all", resource, f"--timeout={PATIENCE}"
        )
    kind.kubectl("get", "gatewayroutes,ratelimitpolicies", "--all-namespaces")
