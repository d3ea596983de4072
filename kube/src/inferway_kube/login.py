"""How to reach the API server: as a pod does, or by a kubeconfig file. Nothing is asked of the API server yet."""

import logging
import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from inferway_kube.errors import NoCluster

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT_FILE: Final = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Login:
    """An API server, and how to authenticate to it."""

    configuration: Configuration
    namespace: str
    """The namespace of the context or of the pod."""

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.configuration.host)

    @property
    def address(self) -> str:
        """The API server's IP address; "" where it is known by a name."""
        try:
            return str(ip_address(urlsplit(self.server).hostname or ""))
        except ValueError:
            return ""


def is_pod() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def has_kubeconfig(files: str = "") -> bool:
    """Whether one of the kubeconfig files exists."""
    return any(file and Path(file).expanduser().exists() for file in (files or _default_files()).split(os.pathsep))


def in_pod() -> Login:
    """Log in with the pod's ServiceAccount. `NoCluster` where there is no such token."""
    configuration = Configuration()
    try:
        # It reads the token again every minute: the kubelet replaces it.
        load_incluster_config(configuration)
        namespace = _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "default"
    except (ConfigException, OSError, ValueError) as error:
        raise NoCluster(f"this is not a pod with a token (automountServiceAccountToken): {_one_line(error)}") from None
    return Login(configuration, namespace)


async def with_kubeconfig(files: str = "", context: str | None = None) -> Login:
    """Log in by kubeconfig files (joined by `:`; "" = $KUBECONFIG, else ~/.kube/config). `NoCluster`."""
    files = files or _default_files()
    if not has_kubeconfig(files):
        raise NoCluster(f"there is no kubeconfig: {files} does not exist; name one with --kubeconfig or KUBECONFIG")
    configuration = Configuration()
    try:
        loader = await load_kube_config(files, context, configuration, persist_config=False)
        namespace = loader.current_context["context"].get("namespace")
    except (ConfigException, yaml.YAMLError, OSError, ValueError) as error:
        raise NoCluster(f"kubeconfig {files}: {_one_line(error)}") from None
    except (LookupError, TypeError, AttributeError):
        # A kubeconfig is written by people, and the library checks little of it.
        raise NoCluster(f"kubeconfig {files}: it is empty, or not a kubeconfig") from None
    return Login(configuration, namespace or "default")


async def from_environment() -> Login:
    """Log in as a pod, else by a kubeconfig: the order of kopf. `NoCluster`."""
    try:
        return in_pod()
    except NoCluster as error:
        try:
            return await with_kubeconfig()
        except NoCluster as other:
            raise NoCluster(f"{error}; {other}") from None


def _default_files() -> str:
    return os.environ.get("KUBECONFIG") or str(Path(_DEFAULT_FILE).expanduser())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# The library warns about a missing file before it raises the same.
logging.getLogger("kubernetes.aio.config.kube_config").setLevel(logging.ERROR)
