"""Asking a cluster. The only module of the command line that needs the package `kubernetes`.

Configuration is found as kubectl finds it: `--kubeconfig`, else the files of KUBECONFIG, else `~/.kube/config`, else what a
pod is given.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

_PATIENCE: Final = (3.0, 10.0)
"""Seconds for a connection, and for the answer."""
_PAGE: Final = 500
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# What a kubeconfig may hold is anybody's guess, and its reader checks little.
_UNREADABLE: Final = (config.ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError)


class ClusterError(Exception):
    """Why something cannot be shown, in one line."""


class ForbiddenError(ClusterError):
    """Whoever asks may not see it."""


class UnknownKindError(ClusterError):
    """The API server has no such kind."""


class Cluster:
    """An API server, and who asks it."""

    def __init__(self, settings: client.Configuration, namespace: str) -> None:
        settings.retries = False  # one try: whoever waits at a terminal can ask again
        self._server = str(settings.host)
        self._objects = client.CustomObjectsApi(client.ApiClient(settings))
        self.namespace = namespace
        """Of the context: the one that is meant where none is named."""

    def list(self, group: str, version: str, plural: str, namespace: str | None, selector: str = "") -> list[Any]:
        """All objects of a kind, as mappings; of every namespace where none is given. Raises `ClusterError`."""
        where = {} if namespace is None else {"namespace": namespace}
        ask = (
            self._objects.list_cluster_custom_object
            if namespace is None
            else self._objects.list_namespaced_custom_object
        )
        found: list[Any] = []
        following = ""
        while True:
            page = self._ask(
                ask,
                group=group,
                version=version,
                plural=plural,
                **where,
                **({"label_selector": selector} if selector else {}),
                **({"_continue": following} if following else {}),
                limit=_PAGE,
            )
            found += page["items"]
            following = page.get("metadata", {}).get("continue") or ""
            if not following:
                return found

    def _ask(self, ask: Callable[..., Any], **options: Any) -> dict[str, Any]:
        kind = f"{options['plural']}.{options['group']}/{options['version']}"
        try:
            page = ask(**options, _request_timeout=_PATIENCE)
        except client.ApiException as error:
            raise self._refused(error, kind) from None
        except json.JSONDecodeError:
            page = None
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"cannot reach the API server {self._server}: {_reason(error)}") from None
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise ClusterError(f"what answers at {self._server} is no Kubernetes API server")
        return page

    def _refused(self, error: client.ApiException, kind: str) -> ClusterError:
        said = _message(error)
        match error.status:
            case 401:
                return ClusterError(f"the API server {self._server} does not know you (401): log in again")
            case 403:
                return ForbiddenError(f"the API server does not allow it: {said}")
            case 404:
                return UnknownKindError(f"the API server {self._server} has no {kind}")
            case None | 0:
                return ClusterError(f"cannot reach the API server {self._server}: {said}")
            case status:
                return ClusterError(f"the API server {self._server} answers {status}: {said}")


def connect(kubeconfig: str | None, context: str | None) -> Cluster:
    """The cluster that is meant. Nothing is asked yet. Raises `ClusterError`."""
    files = kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    settings = client.Configuration()
    try:
        found = KubeConfigMerger(files).config
        if found is None:
            return _inside(settings, files, is_chosen=bool(kubeconfig or context))
        loader = KubeConfigLoader(config_dict=found, active_context=context)
        loader.load_and_set(settings)
        namespace = loader.current_context["context"].get("namespace")
    except _UNREADABLE as error:
        raise ClusterError(f"kubeconfig {files}: {_one_line(str(error)) or type(error).__name__}") from None
    return Cluster(settings, namespace or "default")


def _inside(settings: client.Configuration, files: str, *, is_chosen: bool) -> Cluster:
    """From within a pod, where no kubeconfig is."""
    if is_chosen or "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise ClusterError(f"there is no kubeconfig: {files} does not exist; name one with --kubeconfig or KUBECONFIG")
    try:
        config.load_incluster_config(client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise ClusterError(f"the pod's ServiceAccount cannot be used: {_one_line(str(error))}") from None
    return Cluster(settings, _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "default")


def _message(error: client.ApiException) -> str:
    """What the API server says, without what surrounds it."""
    try:
        said = json.loads(error.body or "")
    except ValueError:
        said = None
    told = said.get("message") if isinstance(said, dict) else None
    return _one_line(str(told or error.reason or "it does not say why"))


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    is_refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which is a kind of time-out to urllib3
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not is_refused:
        return f"no connection within {_PATIENCE[0]:g} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer within {_PATIENCE[1]:g} s"
    # In front of it urllib3 says which of its objects failed.
    return _one_line(str(error)).rpartition("connection: ")[2]


def _one_line(text: str) -> str:
    return " ".join(text.split())
