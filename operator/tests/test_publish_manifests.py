"""ConfigMaps that others have changed: which are written again, and which only after a deletion."""

from typing import Any

import pytest

from inferway_contract.sharding import INDEX_KEY, SHARD_KEY
from inferway_operator.publish import manifests
from inferway_operator.publish.plan import Write

INDEX = Write("config", "inferway-config", {INDEX_KEY: "{}"})
SHARD = Write("shard", "inferway-0123456789", {SHARD_KEY: "{}"})
OWNER = {"ownerReferences": [{"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": "1"}]}
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/a"]}


def stored(write: Write, metadata: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    found = manifests.manifest(write, "gateway", "inferway")
    return {**found, **fields, "metadata": {**found["metadata"], **(metadata or {})}}


@pytest.mark.parametrize(
    ("found", "is_index", "is_spoiled"),
    [
        (stored(INDEX), True, False),
        (stored(SHARD), False, False),
        (stored(INDEX, {"annotations": {"a": "b"}}), True, False),
        (stored(INDEX, immutable=True), True, True),
        (stored(INDEX, {"labels": {}}), True, True),
        (stored(INDEX, {"labels": None}), True, True),
        (stored(INDEX, OWNER), True, True),
        (stored(INDEX, DELETED), True, True),
        (stored(SHARD, immutable=None), False, True),
        (stored(SHARD, OWNER), False, True),
        (stored(SHARD, DELETED), False, True),
        (stored(SHARD, {"labels": {"inferway.dev/gateway": "inferway"}}), False, True),
    ],
)
def test_config_map_is_spoiled_by_foreign_metadata(found: dict[str, Any], is_index: bool, is_spoiled: bool) -> None:
    assert manifests.is_spoiled(found, "inferway", is_index=is_index) is is_spoiled


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stored(INDEX), False),
        (stored(INDEX, {"labels": {}}), False),
        (stored(INDEX, DELETED), False),
        (stored(INDEX, immutable=True), True),
        (stored(INDEX, OWNER), True),
        (stored(INDEX, binaryData={"a": "AA=="}), True),
        (stored(INDEX, data={INDEX_KEY: "", "other": "much"}), True),
        (stored(INDEX, data=None), False),
    ],
)
def test_index_is_replaced_where_apply_cannot_heal_it(found: dict[str, Any], expected: bool) -> None:
    assert manifests.must_be_replaced(found, INDEX) is expected
