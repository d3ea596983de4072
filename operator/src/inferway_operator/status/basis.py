"""What statuses are decided by: one compilation, the published config, and the pods' acknowledgements at one time. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inferway_operator.compiler import Verdict
from inferway_operator.publish.published_state import ParsedConfig
from inferway_operator.status import decision
from inferway_operator.status.acknowledgements import carried
from inferway_operator.status.programmed import ConfigFragment
from inferway_operator.watch.kinds import CachedObject
from inferway_operator.world.pods import PodAck


@dataclass(frozen=True, slots=True)
class Basis:
    """A consistent snapshot, from which the status of any object follows."""

    verdicts: Mapping[tuple[str, str], Verdict]
    """By kind and `namespace/name`."""
    fragments: Mapping[str, str]
    """Of the compiled config: hash of each object's part, by `Kind/namespace/name`."""
    too_large: Mapping[str, str]
    """By `Kind/namespace/name`: why the object is not published as compiled."""
    unpublished: Mapping[str, str]
    """By `Kind/namespace/name`: why the object stays as it was published last."""
    obstacle: str
    """Why the compiled config is not published; "" = it is."""
    revision: str
    """Of the published config."""
    configs: Mapping[str, ParsedConfig]
    """By revision: the published config, and those that pods may serve."""
    acks: tuple[PodAck, ...]

    def status(self, kind: str, entry: CachedObject, now: datetime) -> dict[str, Any] | None:
        """Return the status to write; None if it is as it should be, or if another version of the object was compiled."""
        verdict = self.verdicts.get((kind, entry.id))
        if verdict is None or entry.value.meta != verdict.meta:
            return None  # deleted, or newer than what was compiled: the next round is under way
        return decision.decide(verdict, self._part(kind, entry.id), self.acks, entry.status, now)

    def _part(self, kind: str, name: str) -> ConfigFragment:
        key = f"{kind}/{name}"
        fragment = self.fragments.get(key, "")
        published = self.configs.get(self.revision)
        is_published = not self.obstacle or (published is not None and published.fragments.get(key, "") == fragment)
        return ConfigFragment(
            kind,
            fragment,
            carried(key, self.configs),
            self.revision,
            self.too_large.get(key, ""),
            self.unpublished.get(key, "" if is_published else self.obstacle),
        )


def by_name(verdicts: Iterable[Verdict]) -> Mapping[tuple[str, str], Verdict]:
    """Return the verdicts by kind and `namespace/name`."""
    return {(verdict.meta.kind, verdict.meta.id): verdict for verdict in verdicts}
