"""The condition `Programmed`: how many pods carry the object's own part of the config. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inferway_contract.acknowledgement import LEASE_SECONDS, MAX_ERROR
from inferway_contract.canonical import REVISION_DIGITS
from inferway_contract.conditions import MAX_LAGGARDS, Condition, ConditionType, Reason
from inferway_contract.field_errors import printable
from inferway_operator.compiler import messages
from inferway_operator.world.pods import NEVER_REPORTED_SECONDS, PodAck

_NOTHING: Final = {
    "GatewayRoute": "nothing to publish: fix the errors listed in Accepted",
    "RateLimitPolicy": "no served rule uses this policy: see TargetsResolved and Accepted",
}


@dataclass(frozen=True, slots=True)
class ConfigFragment:
    """An object's own part of the config, and how to find it in other revisions."""

    kind: str
    fragment: str
    """Its hash in the newest config; "" = nothing of the object is in it."""
    carried: Callable[[str], str | None]
    """Its hash in the config of a revision; "" = absent, None = unknown config."""
    revision: str
    """Of the newest config."""
    too_large: str = ""
    """The reason if its size prevents its publication."""
    unpublished: str = ""
    """The reason if the config with the object as it is now could not be published."""


def programmed_condition(
    part: ConfigFragment, acks: Sequence[PodAck], before: Mapping[str, Any], was: Mapping[str, Any], now: str
) -> tuple[Condition, dict[str, Any] | None]:
    """Decide `Programmed` and the block `status.dataPlane`: None without a published fragment.

    `before`: the current block, `was`: the current condition, `now`: RFC 3339.
    """
    if part.too_large:
        return _condition(Reason.TOO_LARGE, messages.joined([part.too_large])), None
    if part.unpublished:
        return _condition(Reason.NOT_PUBLISHED, messages.joined([part.unpublished])), None
    if not part.fragment:
        return _condition(Reason.NOTHING_TO_PROGRAM, _NOTHING[part.kind]), None
    last = before if before.get("fragment") == part.fragment[:REVISION_DIGITS] else {}
    behind = [ack for ack in acks if not _carries(ack, part)]
    unsure = [
        ack for ack in behind if ack.in_grace_period and part.carried(ack.acknowledgement.config) == part.fragment
    ]
    if acks and last and was.get("status") == "True":
        # Every pod had this fragment. Pods that come and go, and changes of other objects, do not change that; a pod in
        # its grace period counts as it did before.
        behind = [ack for ack in behind if ack not in unsure]
        if all(ack.is_starting for ack in behind):
            return _condition(Reason.PROGRAMMED, f"{last.get('pods', '')} pods"), dict(last)
    elif last and unsure and (unfinished := _unfinished(was)) is not None:
        # Some pods did not, possibly these: their acknowledgements are older than this process.
        return unfinished, dict(last)
    # Refusing pods first: their errors show the fix.
    behind.sort(key=lambda ack: (not _refuses(ack, part), ack.pod))
    block = _block(part, len(acks), behind, last, now)
    return _progress_condition(part, block["pods"], behind, has_pods=bool(acks)), block


def _unfinished(was: Mapping[str, Any]) -> Condition | None:
    """Return the current condition if it names pods that are behind."""
    reason, message = was.get("reason"), was.get("message")
    if reason not in (Reason.PENDING, Reason.REJECTED) or not isinstance(message, str):
        return None
    return _condition(Reason(reason), message)


def _carries(ack: PodAck, part: ConfigFragment) -> bool:
    is_current = not ack.is_expired and not ack.in_grace_period
    return is_current and part.carried(ack.acknowledgement.config) == part.fragment


def _refuses(ack: PodAck, part: ConfigFragment) -> bool:
    """Return whether the pod refused a config with this very fragment."""
    refused = ack.acknowledgement.refused
    return refused != "" and (refused == part.revision or part.carried(refused) == part.fragment)


def _progress_condition(part: ConfigFragment, pods: str, behind: Sequence[PodAck], *, has_pods: bool) -> Condition:
    if not has_pods:
        return _condition(Reason.NO_DATA_PLANE, "no ready data-plane pod")
    if not behind:
        return _condition(Reason.PROGRAMMED, f"{pods} pods")
    refusing = [ack for ack in behind if _refuses(ack, part)]
    if refusing:
        errors = messages.joined(
            f"pod {ack.pod} rejected the config ({ack.acknowledgement.error or 'no error reported'})"
            for ack in refusing
        )
        return _condition(Reason.REJECTED, f"{pods} pods; {errors}")
    more = len(behind) - MAX_LAGGARDS
    waiting = ", ".join(ack.pod for ack in behind[:MAX_LAGGARDS]) + (f" and {more} more" if more > 0 else "")
    return _condition(Reason.PENDING, f"{pods} pods; waiting for {waiting}")


def _block(
    part: ConfigFragment, total: int, behind: Sequence[PodAck], last: Mapping[str, Any], now: str
) -> dict[str, Any]:
    applied = total - len(behind)
    block: dict[str, Any] = {
        # The first revision with this fragment: later ones changed only other objects.
        "revision": last.get("revision") or part.revision,
        "fragment": part.fragment[:REVISION_DIGITS],
        "pods": f"{applied}/{total}",
        "applied": applied,
        "total": total,
    }
    if applied > last.get("applied", 0):
        block["lastAppliedTime"] = now
    elif "lastAppliedTime" in last:
        block["lastAppliedTime"] = last["lastAppliedTime"]
    if behind:
        block["laggards"] = [_laggard(ack, part) for ack in behind[:MAX_LAGGARDS]]
    return block


def _laggard(ack: PodAck, part: ConfigFragment) -> dict[str, str]:
    if _refuses(ack, part):
        error = ack.acknowledgement.error
    elif ack.never_reported:
        error = f"Ready for {NEVER_REPORTED_SECONDS} s without a Lease"
    else:
        error = f"Lease expired: not renewed for {LEASE_SECONDS} s" if ack.is_expired else ""
    laggard = {
        "pod": ack.pod,
        # A Lease may hold any text; the schema bounds these.
        "revision": printable(ack.acknowledgement.config)[:REVISION_DIGITS],
        "error": printable(error)[:MAX_ERROR],
    }
    return {field: text for field, text in laggard.items() if text}


def _condition(reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.PROGRAMMED, status=reason is Reason.PROGRAMMED, reason=reason, message=message)
