"""The kinds of manifests that are read.

Folders also contain Deployments and other kinds, which are skipped with a note. A misspelled kind or apiVersion of ours is
an error, because a skipped route would not be noticed.
"""

from difflib import get_close_matches
from typing import Final

from inferway_contract import resources

OURS: Final = f"{resources.API_GROUP}/{resources.API_VERSION}"

VERSIONS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(resources.SPECS, (OURS,)),
    "Service": ("v1",),
    "EndpointSlice": ("discovery.k8s.io/v1",),
    "ReferenceGrant": ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"),
}
"""The kinds that are read, with their apiVersions."""

KNOWN: Final = ", ".join(VERSIONS)

# Longer words are not compared, because the time grows with the product of the lengths.
_LONGEST: Final = 80


def kind_error(api_version: str, kind: str) -> tuple[str, str] | None:
    """Return the wrong field of a misspelled identity, with a message; None for a foreign kind."""
    group = _group(api_version)
    if kind in VERSIONS and (group in map(_group, VERSIONS[kind]) or _resembles(group, resources.API_GROUP)):
        return "apiVersion", f"{_cut(api_version)} has no {kind}; it belongs to {' or '.join(VERSIONS[kind])}"
    if kind in resources.SPECS and not group:
        return "apiVersion", f"{_cut(api_version)} has no {kind}; it belongs to {OURS}"
    if group == resources.API_GROUP or _resembles(group, resources.API_GROUP):
        near = _nearest(kind, list(resources.SPECS))
        hint = f"did you mean {near}?" if near is not None else f"there are {' or '.join(resources.SPECS)}"
        return "kind", f"{_cut(kind)} is not a kind of {resources.API_GROUP}; {hint}"
    siblings = [name for name, versions in VERSIONS.items() if group in map(_group, versions)]
    if (near := _nearest(kind, siblings)) is not None:
        return "kind", f"{_cut(kind)} is not a kind that is read; did you mean {near}?"
    return None


def _group(api_version: str) -> str:
    """Return the API group; empty for the core of Kubernetes, whose apiVersion is only a version."""
    return api_version.rpartition("/")[0]


def _resembles(group: str, ours: str) -> bool:
    return group != ours and len(group) <= _LONGEST and bool(get_close_matches(group, [ours], n=1, cutoff=0.75))


def _nearest(kind: str, names: list[str]) -> str | None:
    if len(kind) > _LONGEST:
        return None
    # The most common error is letter case, which must not count as two edits.
    folded = {name.lower(): name for name in names}
    nearest = get_close_matches(kind.lower(), list(folded), n=1, cutoff=0.8)
    return folded[nearest[0]] if nearest else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
