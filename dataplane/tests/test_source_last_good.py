"""The last good copy on disk: whole, or refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.canonical import canonical, digest
from inferway_contract.document import ConfigDocument, DirectResponse, Endpoint, EndpointsDocument, Route, Rule
from inferway_contract.sharding import lay_out_config, lay_out_endpoints
from inferway_dataplane.sources.last_good import Head, LastGood

ENDPOINT = (Endpoint(address="192.0.2.1", port=80),)


def state(body: str) -> tuple[Head, dict[str, bytes], ConfigDocument]:
    """A head with its shards, and its config."""
    rule = Rule(name="all", respond=DirectResponse(status=200, content_type="text/plain", body=body))
    config = ConfigDocument(routes=(Route(id="x/y", rules=(rule,)),))
    configs = lay_out_config(config)
    endpoints = lay_out_endpoints(EndpointsDocument(services={"x/a:80": ENDPOINT}))
    shards = {digest(content): content for layout in (configs, endpoints) for content in layout.shards.values()}
    kept = {"x/b:80": ENDPOINT}
    return (
        Head(config=canonical(configs.index).decode(), endpoints=canonical(endpoints.index).decode(), kept=kept),
        shards,
        config,
    )


def test_what_was_saved_last_is_read(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path / "made" / "here"))
    assert kept.read() is None
    for body in ("one", "two"):
        head, shards, config = state(body)
        kept.save(head, shards, set())
        found = kept.read()
        assert found is not None
        assert found.documents.config.document == config
        assert found.documents.endpoints.document.services == {"x/a:80": ENDPOINT, "x/b:80": ENDPOINT}
        assert found.documents.kept == {"x/b:80": ENDPOINT}
        assert set(found.config_shards) | set(found.endpoints_shards) == set(shards)
    # The shard that only the first had is gone.
    assert len(list((tmp_path / "made" / "here").iterdir())) == 3


def test_shards_that_a_later_head_may_name_stay(tmp_path: Path) -> None:
    kept = LastGood(str(tmp_path))
    first, first_shards, config = state("one")
    second, second_shards, _ = state("two")
    kept.save(first, first_shards, set())
    kept.save(second, second_shards, set(first_shards))
    kept.save(first, {}, set())
    found = kept.read()
    assert found is not None
    assert found.documents.config.document == config
    # And one that nobody has any more is told, and what is there stays whole.
    with pytest.raises(OSError, match="not there any more"):
        kept.save(second, {}, set())
    assert kept.read() == found


def test_what_stops_in_the_middle_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its steps a copy takes, the folder holds the old state or the new one."""
    kept = LastGood(str(tmp_path))
    first, first_shards, one = state("one")
    second, second_shards, two = state("two")
    rename = Path.rename
    seen = set()
    for steps in range(4):
        kept.save(first, first_shards, set())
        left = steps

        def stops(part: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return rename(part, target)

        monkeypatch.setattr(Path, "rename", stops)
        with suppress(KeyboardInterrupt):
            kept.save(second, second_shards, set())
        monkeypatch.setattr(Path, "rename", rename)
        found = kept.read()
        assert found is not None
        assert found.documents.config.document in (one, two)
        seen.add(found.documents.config.document == two)
    assert seen == {False, True}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_byte_may_be_another(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("state")
    kept = LastGood(str(folder))
    head, shards, _ = state("one")
    kept.save(head, shards, set())
    file = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with pytest.raises(ValueError):
        kept.read()
