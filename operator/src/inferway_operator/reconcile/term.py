"""A term: the state of the documents, from the moment at which an operator begins to lead until it stops leading."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferway_contract.document import ConfigDocument, Endpoint
from inferway_operator.publish import size_limits
from inferway_operator.publish.published_state import ParsedConfig, Published


@dataclass(slots=True)
class Term:
    """The state while leading. It begins with what is in the cluster: another operator may have written before."""

    published: Published
    configs: dict[str, ParsedConfig]
    """What is in the configs that a pod may serve, by revision."""
    config: ConfigDocument | None
    """The published one."""
    wanted: size_limits.DesiredState | None = None
    compiled: Mapping[str, str] = field(default_factory=dict)
    """Fragments of the newest objects, those of `wanted` but for held namespaces."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Namespaces that keep their published objects in `wanted` since the API server refuses the newest, and why."""
    live: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """Addresses, as they are now, of the Services that the last compilation does not name and a served config does."""
    has_published: bool = False
    """Whether this term has published a config, or found it published."""
    replicas: int = 0
    """The number of pods in the last compilation."""
    unneeded_since: dict[str, float] = field(default_factory=dict)
    """Shards that no config needs, and since when (monotonic seconds)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round has published, found published, or could not publish: statuses and garbage follow from it."""

    term: Term
    wanted: size_limits.DesiredState
    revision: str
    """The revision of the published config."""
    obstacle: str = ""
    """Why the config of `wanted` could not be published; "" = it is."""
