"""Digests of rules: a changed rule does not use what it stored before."""

from typing import Any

from cache_messages import all_differ
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.canonical import canonical
from inferway_contract.document import (
    Auth,
    Backend,
    Cache,
    Cors,
    HeaderEdit,
    Match,
    PathMatch,
    Rewrite,
    Rule,
    Url,
)
from inferway_dataplane.core.caching.keys import digest_of

RULE = Rule(name="r", backends=(Backend(url=Url(scheme="http", host="a.example", port=80)),), cache=Cache(ttl=60_000))
CHANGES: dict[str, dict[str, Any]] = {
    "a match": {"matches": (Match(path=PathMatch(value="/a")),)},
    "a match by method": {"matches": (Match(method="GET"),)},
    "the backend": {"backends": (Backend(url=Url(scheme="http", host="b.example", port=80)),)},
    "the backend's scheme": {"backends": (Backend(url=Url(scheme="https", host="a.example", port=80)),)},
    "the backend's path": {"backends": (Backend(url=Url(scheme="http", host="a.example", port=80, path="/x")),)},
    "a weight": {"backends": (Backend(weight=2, url=Url(scheme="http", host="a.example", port=80)),)},
    "a Service": {"backends": (Backend(service="demo/a:80"),)},
    "another Service": {"backends": (Backend(service="demo/b:80"),)},
    "a credential": {
        "backends": (Backend(url=Url(scheme="http", host="a.example", port=80), auth=Auth(header="x-key", file="a")),)
    },
    "a request header": {"request_headers": HeaderEdit(remove=("x-a",))},
    "a response header": {"response_headers": HeaderEdit(remove=("x-a",))},
    "a rewrite": {"rewrite": Rewrite(hostname="b.example")},
    "CORS": {"cors": Cors(allow_origins=("*",))},
    "the ttl": {"cache": Cache(ttl=61_000)},
    "the key": {"cache": Cache(ttl=60_000, query_exclude=("utm",))},
    "the identity": {"cache": Cache(ttl=60_000, identity="Shared")},
    "the status header": {"cache": Cache(ttl=60_000, status_header="X-Other")},
}


def test_digest_differs_with_all_that_a_rule_does() -> None:
    changed = [digest_of("demo/a", RULE.model_copy(update=change)) for change in CHANGES.values()]
    assert all_differ([digest_of("demo/a", RULE), digest_of("demo/b", RULE), *changed])


def test_digest_is_the_same_under_another_name_or_position() -> None:
    assert digest_of("demo/a", RULE.model_copy(update={"name": "rule-7"})) == digest_of("demo/a", RULE)


texts = st.sampled_from(("a", "b", "a,b", '"', "ü"))
rule_documents = st.builds(
    Rule,
    name=texts,
    matches=st.lists(
        st.builds(Match, path=st.builds(PathMatch, value=texts), method=st.none() | texts, headers=st.just(())),
        max_size=2,
    ).map(tuple),
    backends=st.lists(st.builds(Backend, weight=st.integers(0, 2), service=st.none() | texts), max_size=2).map(tuple),
    request_headers=st.none() | st.builds(HeaderEdit, remove=st.lists(texts, max_size=2).map(tuple)),
    cache=st.builds(Cache, ttl=st.none() | st.integers(0, 2), key_headers=st.lists(texts, max_size=2).map(tuple)),
)


@given(rule_documents, rule_documents, st.booleans())
def test_digests_are_equal_exactly_for_equal_rules(one: Rule, other: Rule, is_copy: bool) -> None:
    if is_copy:
        other = Rule.model_validate_json(one.model_dump_json()).model_copy(update={"name": other.name})
    nameless = [canonical(rule.model_copy(update={"name": ""})) for rule in (one, other)]
    assert (digest_of("demo/a", one) == digest_of("demo/a", other)) is (nameless[0] == nameless[1])
    if is_copy:
        assert nameless[0] == nameless[1]
