"""Who may claim a hostname: the operator's setting `hostnamePolicy`. Whoever claims one takes its traffic.

Without the setting every namespace may claim every hostname. With it, what no entry allows is not allowed: an empty list
allows nothing. Entries only ever add; their order means nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from inferway_contract import values

ANY: Final = "*"
"""As a namespace: each of them. As a hostname: each of them, and to name none, which claims every host."""

_Namespace = Annotated[str, StringConstraints(pattern=rf"^\*$|{values.LABEL_PATTERN}", max_length=63)]
_Pattern = Annotated[str, StringConstraints(pattern=rf"^\*$|{values.HOSTNAME_PATTERN}", max_length=253)]


class HostnameRule(BaseModel):
    """Some namespaces, and the hostnames that they may claim."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)

    namespaces: tuple[_Namespace, ...] = ()
    """Their names, or `*`."""
    namespace_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the Namespace; all must be there. Beside `namespaces` either is enough."""
    hostnames: tuple[_Pattern, ...]
    """`a.example.com` is itself alone, `*.example.com` all below it (whatever the depth) and itself, `*` everything."""

    @model_validator(mode="after")
    def _names_someone(self) -> Self:
        if not self.namespaces and not self.namespace_labels:
            raise ValueError("name namespaces, or namespaceLabels, or '*' among namespaces for all of them")
        return self

    def is_for(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether this speaks of the namespace."""
        if namespace in self.namespaces or ANY in self.namespaces:
            return True
        wanted = self.namespace_labels
        return bool(wanted) and all(labels.get(name) == value for name, value in wanted.items())


HostnamePolicy = tuple[HostnameRule, ...]


def patterns_of(policy: HostnamePolicy, namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What the namespace may claim, in the order of the text."""
    return tuple(sorted({name for rule in policy if rule.is_for(namespace, labels) for name in rule.hostnames}))


def may_claim(hostname: str, patterns: Sequence[str]) -> bool:
    """Whether all that `hostname` stands for falls under one of the patterns; "" = every host."""
    return any(pattern == ANY or (hostname != "" and _covers(pattern, hostname)) for pattern in patterns)


def _covers(pattern: str, hostname: str) -> bool:
    # `*.a.example.com` falls under `*.example.com`: a wildcard stands for any number of labels, in routes too.
    return pattern == hostname or (pattern.startswith("*.") and hostname.endswith(pattern[1:]))
