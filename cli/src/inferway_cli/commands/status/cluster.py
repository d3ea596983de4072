"""Asking a cluster: the only module of the command line that needs the extra `cluster`.

Configuration is found as kubectl finds it: `--kubeconfig`, else the files of KUBECONFIG, else `~/.kube/config`, else the
ServiceAccount of the pod.
"""

from typing import Any, Final

from inferway_kube import login
from inferway_kube.client import Client, Deadlines, path
from inferway_kube.errors import ApiError, NoCluster, NotFound

DEADLINES: Final = Deadlines(connect=3.0, read=10.0)


class ClusterError(Exception):
    """Why something cannot be shown, in one line."""


class ForbiddenError(ClusterError):
    """The user may not see it."""


class UnknownKindError(ClusterError):
    """The API server does not have this kind."""


class Cluster(Client):
    """An API server, and the user that asks it."""

    def __init__(self, account: login.Login) -> None:
        super().__init__(account, "inferway", DEADLINES)
        self._server = account.server
        self.namespace = account.namespace  # of the context: used where none is named

    async def list_kind(
        self, group: str, version: str, plural: str, namespace: str | None, selector: str = ""
    ) -> list[dict[str, Any]]:
        """Return all objects of a kind, as mappings; of every namespace where none is given. Raises `ClusterError`."""
        query = {"labelSelector": selector} if selector else {}
        try:
            return (await self.list_all(path(f"/apis/{group}/{version}", plural, namespace or ""), query)).items
        except NotFound:
            raise UnknownKindError(f"the API server {self._server} has no {plural}.{group}/{version}") from None
        except ApiError as error:
            raise self._explained(error) from None

    def _explained(self, error: ApiError) -> ClusterError:
        reason = " ".join(error.reason.split())
        match error.status:
            case 0:
                return ClusterError(f"cannot reach the API server {self._server}: {reason}")
            case 401:
                return ClusterError(f"the API server {self._server} does not know you (401): log in again")
            case 403:
                return ForbiddenError(f"the API server does not allow it: {reason}")
            case 502 if not error.is_status:
                return ClusterError(f"what answers at {self._server} is not a Kubernetes API server")
            case _:
                return ClusterError(f"the API server {self._server} answers {reason}")


async def connect(kubeconfig: str | None, context: str | None) -> Cluster:
    """Return the chosen cluster. It is not asked anything yet. Raises `ClusterError`."""
    is_chosen = bool(kubeconfig or context)
    try:
        if not is_chosen and login.is_pod() and not login.has_kubeconfig():
            return Cluster(login.in_pod())
        return Cluster(await login.with_kubeconfig(kubeconfig or "", context))
    except NoCluster as error:
        raise ClusterError(str(error)) from None
