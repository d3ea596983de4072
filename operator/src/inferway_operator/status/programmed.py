"""Programming: how far one object's own part of the config has come, by what the pods acknowledge. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inferway_contract.acknowledgement import LEASE_SECONDS, MAX_ERROR
from inferway_contract.canonical import REVISION_DIGITS
from inferway_contract.conditions import MAX_LAGGARDS, Condition, ConditionType, Reason
from inferway_contract.field_errors import printable
from inferway_operator.compiler import messages
from inferway_operator.world.pods import MUTE_SECONDS, PodAck

_NOTHING: Final = {
    "GatewayRoute": "nothing of it can be published: mend what Accepted tells",
    "RateLimitPolicy": "no rule that is served is limited by it: see TargetsResolved and Accepted",
}


@dataclass(frozen=True, slots=True)
class ConfigFragment:
    """An object's own part of the config, and where it may be found."""

    kind: str
    fragment: str
    """Its hash in the newest config; "" = nothing of the object is in it."""
    carried: Callable[[str], str | None]
    """Its hash in the config of a revision; "" = absent, None = that revision is not known."""
    revision: str
    """Of the newest config."""
    too_large: str = ""
    """Why it could not be published, where its size is why."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The condition `Programmed`, and the block `status.dataPlane`; None where there is nothing to count."""

    condition: Condition
    data_plane: dict[str, Any] | None


def programmed_condition(
    part: ConfigFragment, acks: Sequence[PodAck], before: Mapping[str, Any], was: Mapping[str, Any], now: str
) -> Progress:
    """How far the object is. `before` is `status.dataPlane` as it is, `was` the condition, `now` a time as Kubernetes writes it."""
    if part.too_large:
        return Progress(_condition(Reason.TOO_LARGE, messages.joined([part.too_large])), None)
    if not part.fragment:
        return Progress(_condition(Reason.NOTHING_TO_PROGRAM, _NOTHING[part.kind]), None)
    known = before if before.get("fragment") == part.fragment[:REVISION_DIGITS] else {}
    behind = [ack for ack in acks if not _carries(ack, part)]
    unsure = [ack for ack in behind if ack.is_unjudged and part.carried(ack.said.config) == part.fragment]
    if acks and known and was.get("status") == "True":
        # It had arrived everywhere. Pods that come and go, and changes of other objects, are no news of this one. Who is
        # not judged yet is taken for what it was.
        behind = [ack for ack in behind if ack not in unsure]
        if all(ack.is_starting for ack in behind):
            told = f"{known.get('pods', '')} pods"
            return Progress(_condition(Reason.PROGRAMMED, told), dict(known))
    elif known and unsure and (kept := _unfinished(was)) is not None:
        # It had not, and they may be why: what they say was said before anybody listened to them.
        return Progress(kept, dict(known))
    # Those that refuse first: what they say is what mends it.
    behind.sort(key=lambda ack: (not _refuses(ack, part), ack.pod))
    block = _block(part, len(acks), behind, known, now)
    return Progress(_told(part, block["pods"], behind, has_pods=bool(acks)), block)


def _unfinished(was: Mapping[str, Any]) -> Condition | None:
    """The condition as it is, where it tells of pods that are waited for."""
    reason, message = was.get("reason"), was.get("message")
    if reason not in (Reason.PENDING, Reason.REJECTED) or not isinstance(message, str):
        return None
    return _condition(Reason(reason), message)


def _carries(ack: PodAck, part: ConfigFragment) -> bool:
    is_heard = not ack.is_expired and not ack.is_unjudged
    return is_heard and part.carried(ack.said.config) == part.fragment


def _refuses(ack: PodAck, part: ConfigFragment) -> bool:
    """Whether it refused a config with this very part in it. An older refusal says nothing of it."""
    refused = ack.said.refused
    return refused != "" and (refused == part.revision or part.carried(refused) == part.fragment)


def _told(part: ConfigFragment, pods: str, behind: Sequence[PodAck], *, has_pods: bool) -> Condition:
    if not has_pods:
        return _condition(Reason.NO_DATA_PLANE, "no pod of the data plane is ready to serve it")
    if not behind:
        return _condition(Reason.PROGRAMMED, f"{pods} pods")
    refusing = [ack for ack in behind if _refuses(ack, part)]
    if refusing:
        errors = messages.joined(f"{ack.pod} refuses: {ack.said.error or 'it does not say why'}" for ack in refusing)
        return _condition(Reason.REJECTED, f"{pods} pods; {errors}")
    more = len(behind) - MAX_LAGGARDS
    waiting = ", ".join(ack.pod for ack in behind[:MAX_LAGGARDS]) + (f" and {more} more" if more > 0 else "")
    return _condition(Reason.PENDING, f"{pods} pods; waiting for {waiting}")


def _block(
    part: ConfigFragment, total: int, behind: Sequence[PodAck], known: Mapping[str, Any], now: str
) -> dict[str, Any]:
    applied = total - len(behind)
    block: dict[str, Any] = {
        # The revision that carried it first: as long as it is the same, later ones are about other objects.
        "revision": known.get("revision") or part.revision,
        "fragment": part.fragment[:REVISION_DIGITS],
        "pods": f"{applied}/{total}",
        "applied": applied,
        "total": total,
    }
    if applied > known.get("applied", 0):
        block["lastAppliedTime"] = now
    elif "lastAppliedTime" in known:
        block["lastAppliedTime"] = known["lastAppliedTime"]
    if behind:
        block["laggards"] = [_laggard(ack, part) for ack in behind[:MAX_LAGGARDS]]
    return block


def _laggard(ack: PodAck, part: ConfigFragment) -> dict[str, str]:
    if _refuses(ack, part):
        error = ack.said.error
    else:
        error = f"not heard of for {LEASE_SECONDS} s: its Lease has expired" if ack.is_expired else ""
        error = f"ready for {MUTE_SECONDS} s, and has written no Lease" if ack.is_mute else error
    told = {
        "pod": ack.pod,
        # Whoever may write a Lease may write anything there; the schema bounds it.
        "revision": printable(ack.said.config)[:REVISION_DIGITS],
        "error": printable(error)[:MAX_ERROR],
    }
    return {field: text for field, text in told.items() if text}


def _condition(reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.PROGRAMMED, status=reason is Reason.PROGRAMMED, reason=reason, message=message)
