"""What the API server's answers mean: pure, and nothing that it sends is believed to have a shape."""

import json
from typing import Any

from inferway_contract.sharding import INDEX_KEY
from inferway_dataplane.sources.api import Gone, IndexEvent, Missing, Unavailable


def failure(status: int, retry_after: str, body: bytes) -> Exception:
    """An answer that is none of 2xx. `retry_after`: that field, "" without it."""
    if status == 404:
        return Missing("it is not there")
    if status == 410:
        return Gone("it is too old")
    message = _message(body)
    return Unavailable(
        f"it answers {status}: {message}", _seconds(retry_after), is_answer=True, mend=_mend(status, message)
    )


def _mend(status: int, message: str) -> str:
    if status == 401:
        return "its token is refused: let Kubernetes mount it (automountServiceAccountToken)"
    if status != 403:
        return ""
    if "ValidatingAdmissionPolicy" in message:
        return "let POD_NAME come from the downward API, and the token from Kubernetes"
    return "its Role or the binding is missing, apply the manifests again (kubectl apply -k)"


def _message(body: bytes) -> str:
    """Of a Status object; what else there is is not ours, and may be long."""
    try:
        return str(json.loads(body)["message"])[:300]
    except (ValueError, LookupError, TypeError):
        return "(no Status)"


def _seconds(retry_after: str) -> float:
    """Of Retry-After (RFC 9110, 10.2.3). API servers send seconds; a date is nothing to go by without their clock."""
    return float(retry_after) if retry_after.isdecimal() else 0.0


def event(line: bytes) -> IndexEvent:
    """One line of a watch. `Gone`, `Unavailable`."""
    try:
        told = json.loads(line)
        kind, found = told["type"], told["object"]
        if kind != "ERROR":
            version = found["metadata"]["resourceVersion"]
            index = None if kind == "DELETED" else text(found, INDEX_KEY)
            return IndexEvent(version, index, is_bookmark=kind == "BOOKMARK")
        if found.get("code") == 410:
            raise Gone
        message = f"the watch ended with {found.get('code')}: {str(found.get('message'))[:300]}"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"the watch brings no event: {error!r}", is_answer=True) from None
    raise Unavailable(message, is_answer=True)


def text(config_map: Any, key: str) -> str | None:
    """What a ConfigMap has under a key; None = nothing, or no text."""
    found = (config_map.get("data") or {}).get(key)
    return found if isinstance(found, str) else None
