"""Applies the manifests in the order of their dependencies, and waits until everything is ready."""

from typing import Final

from inferway_cluster import kind

OVERLAY: Final = "manifests/overlays/dev"
SAMPLES: Final = "manifests/samples"
DEFINITIONS: Final = ("gatewayroutes.inferway.dev", "ratelimitpolicies.inferway.dev")
PLANES: Final = ("inferway-operator", "inferway-system")
DEMO: Final = "inferway-demo"
"""Namespaces."""
PATIENCE: Final = "180s"
"""Timeout of each wait."""


def install(root: str, *, is_new: bool) -> None:
    """Install both planes and the samples.

    In an existing cluster pods are replaced, because their images may have changed under the same tag.
    """
    kind.kubectl("apply", "-k", f"{root}/{OVERLAY}")
    kind.kubectl(
        "wait", "--for=condition=Established", f"--timeout={PATIENCE}", *(f"crd/{name}" for name in DEFINITIONS)
    )
    _await(PLANES, is_new=is_new)
    # Only now, because a status counts the pods that were ready when its object was programmed.
    kind.kubectl("apply", "-k", f"{root}/{SAMPLES}")
    _await((DEMO,), is_new=is_new)
    for resource in ("gatewayroutes", "ratelimitpolicies"):
        kind.kubectl("-n", DEMO, "wait", "--for=condition=Programmed", "--all", resource, f"--timeout={PATIENCE}")
    kind.kubectl("get", "gatewayroutes,ratelimitpolicies", "--all-namespaces")


def _await(namespaces: tuple[str, ...], *, is_new: bool) -> None:
    """Wait until the namespaces' Deployments are rolled out."""
    for namespace in namespaces:
        if not is_new:
            kind.kubectl("-n", namespace, "rollout", "restart", "deployment")
        for deployment in kind.kubectl_output("-n", namespace, "get", "deployments", "-o", "name").split():
            kind.kubectl("-n", namespace, "rollout", "status", deployment, f"--timeout={PATIENCE}")
