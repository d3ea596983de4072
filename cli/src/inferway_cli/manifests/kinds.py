"""Which manifests are read, and what is said of the others.

People keep their Deployments in the same folder, so a stranger is passed over with a note. What looks like one of
ours written wrongly is a mistake: silence would leave a route out.
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

# Words longer than any kind are not worth a comparison, whose time grows with their product.
_LONGEST: Final = 80


def is_known(api_version: str, kind: str) -> bool:
    """Whether manifests of this kind are read."""
    return api_version in VERSIONS.get(kind, ())


def mistake(api_version: str, kind: str) -> tuple[str, str] | None:
    """The field that keeps this from being a manifest that is read, with why; None when it is simply a stranger."""
    group = _group(api_version)
    if kind in VERSIONS and (group in map(_group, VERSIONS[kind]) or _resembles(group, resources.API_GROUP)):
        return "apiVersion", f"{_cut(api_version)} has no {kind}; it belongs to {' or '.join(VERSIONS[kind])}"
    if kind in resources.SPECS and not group:
        return "apiVersion", f"{_cut(api_version)} has no {kind}; it belongs to {OURS}"
    if group == resources.API_GROUP or _resembles(group, resources.API_GROUP):
        near = _nearest(kind, list(resources.SPECS))
        return "kind", f"{_cut(kind)} is no kind of {resources.API_GROUP}; {_hint(near, ' or '.join(resources.SPECS))}"
    siblings = [name for name, versions in VERSIONS.items() if group in map(_group, versions)]
    if (near := _nearest(kind, siblings)) is not None:
        return "kind", f"{_cut(kind)} is no kind that is read; did you mean {near}?"
    return None


def _hint(near: str | None, otherwise: str) -> str:
    return f"did you mean {near}?" if near is not None else f"there are {otherwise}"


def _group(api_version: str) -> str:
    """The API group; empty for Kubernetes' core, whose apiVersion is a version only."""
    return api_version.rpartition("/")[0]


def _resembles(group: str, ours: str) -> bool:
    return group != ours and len(group) <= _LONGEST and bool(get_close_matches(group, [ours], n=1, cutoff=0.75))


def _nearest(kind: str, names: list[str]) -> str | None:
    if len(kind) > _LONGEST:
        return None
    # Letter case is the commonest slip, and counts as two edits for a comparison that minds it.
    folded = {name.lower(): name for name in names}
    found = get_close_matches(kind.lower(), list(folded), n=1, cutoff=0.8)
    return folded[found[0]] if found else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
