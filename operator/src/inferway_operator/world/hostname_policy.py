"""The operator's setting `hostnamePolicy`: which namespaces may claim which hostnames, and so get their traffic.

Without the setting every namespace may claim every hostname. With it, only hostnames that an entry allows: an empty list
allows nothing. Entries add permissions; an exclusive one also takes its hostnames from all other namespaces. Their order
has no meaning.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from inferway_contract import values

ANY: Final = "*"
"""As a namespace: each of them. As a hostname: each of them, also the absence of hostnames, which claims every host."""

_Namespace = Annotated[str, StringConstraints(pattern=rf"^\*$|{values.LABEL_PATTERN}", max_length=63)]
_Pattern = Annotated[str, StringConstraints(pattern=rf"^\*$|{values.HOSTNAME_PATTERN}", max_length=253)]


_NOWHERE: Final = (-1, False)
"""Less specific than every pattern."""


class HostnameRule(BaseModel):
    """A set of namespaces, and the hostnames that they may claim."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)

    namespaces: tuple[_Namespace, ...] = ()
    """Their names, or `*`."""
    namespace_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the Namespace, all of which must be present. A namespace in `namespaces` does not need them."""
    hostnames: tuple[_Pattern, ...]
    """`a.example.com` is only itself, `*.example.com` is itself and all below it at any depth, `*` is everything."""
    exclusive: bool = False
    """Whether no other namespace may claim these hostnames, or a wildcard that covers one of them."""

    @model_validator(mode="after")
    def _selects_namespaces(self) -> Self:
        if not self.namespaces and not self.namespace_labels:
            raise ValueError("set namespaces or namespaceLabels; '*' in namespaces selects all of them")
        return self

    def is_for(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Return whether the rule selects the namespace."""
        if namespace in self.namespaces or ANY in self.namespaces:
            return True
        required = self.namespace_labels
        return bool(required) and all(labels.get(name) == value for name, value in required.items())


HostnamePolicy = tuple[HostnameRule, ...]


def patterns_of(policy: HostnamePolicy, namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hostname patterns that the namespace may claim, sorted."""
    return tuple(sorted({name for rule in policy if rule.is_for(namespace, labels) for name in rule.hostnames}))


def may_claim(hostname: str, patterns: Sequence[str]) -> bool:
    """Return whether one pattern covers the hostname; "" = every host."""
    return any(pattern == ANY or (hostname != "" and _covers(pattern, hostname)) for pattern in patterns)


def reserved_by(policy: HostnamePolicy, namespace: str, labels: Mapping[str, str], hostname: str) -> str | None:
    """Return the pattern that reserves the hostname for other namespaces, or None; "" = every host.

    Of exclusive entries the most specific pattern counts, so a name can be given away within a reserved domain. A wildcard
    that covers a reserved hostname would get its requests: those that no route of the owner fits.
    """
    reserving: list[str] = []
    claimed = _NOWHERE
    for rule in policy:
        if not rule.exclusive:
            continue
        if not rule.is_for(namespace, labels):
            reserving += [pattern for pattern in rule.hostnames if _share_a_host(pattern, hostname)]
        else:
            covering = (pattern for pattern in rule.hostnames if may_claim(hostname, (pattern,)))
            claimed = max((claimed, *map(_specificity, covering)))
    return max((pattern for pattern in reserving if _specificity(pattern) > claimed), key=_specificity, default=None)


def _share_a_host(pattern: str, hostname: str) -> bool:
    return may_claim(hostname, (pattern,)) or hostname == "" or _covers(hostname, pattern)


def _specificity(pattern: str) -> tuple[int, bool]:
    # `b.example.com` is more specific than `*.example.com`, which has as many labels.
    return (0, False) if pattern == ANY else (pattern.count(".") + 1, not pattern.startswith("*."))


def _covers(pattern: str, hostname: str) -> bool:
    # `*.a.example.com` is below `*.example.com`: as in routes, a wildcard is any number of labels.
    return pattern == hostname or (pattern.startswith("*.") and hostname.endswith(pattern[1:]))
