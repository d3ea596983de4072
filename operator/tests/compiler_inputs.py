"""Manifests for the compiler's properties: the golden inputs, and what chance makes of them."""

import copy
from typing import Any

import golden_cases
import yaml
from hypothesis import strategies as st

Manifest = dict[str, Any]

KINDS = ("GatewayRoute", "RateLimitPolicy", "Service", "EndpointSlice", "ReferenceGrant")


def _golden_manifests() -> list[Manifest]:
    texts = [file.read_text().partition(golden_cases.DIVIDER)[0] for file in golden_cases.case_files()]
    found = [item for text in texts for item in yaml.safe_load_all(text) if item is not None]
    return [item for item in found if "settings" not in item]


GOLDEN = _golden_manifests()

# Half surrogate pairs are legal in JSON text, and no encoder takes them.
TEXT = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["", "/", "*", "a.example.com", "default", "web", "\ud800", "\x00", "1s", "0s", "99999h", "64Ki", "(", "/%2e%2e"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-1, 70000)
    | st.floats(allow_nan=True, allow_infinity=True)
    | TEXT
)
FIELDS = st.sampled_from(
    [
        "name",
        "namespace",
        "spec",
        "rules",
        "matches",
        "path",
        "value",
        "type",
        "hostnames",
        "filters",
        "backendRefs",
        "url",
        "port",
        "ports",
        "endpoints",
        "addresses",
        "targetRefs",
        "limits",
        "key",
        "from",
        "to",
        "labels",
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | TEXT, inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    paths = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            paths += _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            paths += _places(inner, (*path, index))
    return paths


@st.composite
def mutated(draw: st.DrawFn, source: Manifest, most: int = 4) -> Manifest:
    """A manifest with some of its values replaced, removed or joined by others; its kind stays."""
    changed = copy.deepcopy(source)
    for _ in range(draw(st.integers(0, most))):
        places = [path for path in _places(changed) if path and path[0] not in ("kind", "apiVersion")]
        if not places:
            break
        path = draw(st.sampled_from(places))
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[path[-1]] = draw(JSON)
            case "remove":
                del holder[path[-1]]
            case "add" if isinstance(holder, list):
                holder.append(draw(JSON))
            case _:
                holder[draw(FIELDS | TEXT)] = draw(JSON)
    return changed


def _wild() -> st.SearchStrategy[Manifest]:
    versions = st.sampled_from(
        ["v1", "inferway.dev/v1alpha1", "discovery.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    )
    return st.fixed_dictionaries(
        {"kind": st.sampled_from(KINDS) | JSON},
        optional={"apiVersion": versions | JSON, "metadata": JSON, "spec": JSON, "endpoints": JSON, "ports": JSON},
    )


def one_of(manifests: list[Manifest]) -> st.SearchStrategy[Manifest]:
    """Any of them; by its index, or a failure would print them all."""
    return st.integers(0, len(manifests) - 1).map(manifests.__getitem__)


MANIFESTS = st.lists(one_of(GOLDEN).flatmap(mutated) | _wild(), max_size=6)


def identity(manifest: Manifest) -> tuple[Any, ...]:
    """Identity of an object: version, kind, namespace and name."""
    metadata = manifest.get("metadata") or {}
    return (
        manifest.get("apiVersion"),
        manifest.get("kind"),
        metadata.get("namespace") or "default",
        metadata.get("name"),
    )


def distinct(manifests: list[Manifest]) -> list[Manifest]:
    """Without objects that are there already: of those the first wins, so their order would matter."""
    return list({identity(item): item for item in reversed(manifests)}.values())
