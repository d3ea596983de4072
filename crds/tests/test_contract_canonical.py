"""Canonical bytes and revisions: equal content is equal bytes, on every machine and forever."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract import canonical, document

ROUTE = document.Route(
    id="demo/infer",
    hostnames=("api.example.com",),
    rules=(
        document.Rule(
            name="infer",
            matches=(document.Match(path=document.PathMatch(type="Exact", value="/ä")),),
            backends=(document.Backend(service="demo/service-python:8000"),),
            timeouts=document.Timeouts(request=5_000),
        ),
    ),
)
CONFIG = document.ConfigDocument(routes=(ROUTE,))


def test_canonical_omits_defaults_and_sorts_keys() -> None:
    assert canonical.canonical(CONFIG).decode() == (
        '{"format":2,"routes":[{"hostnames":["api.example.com"],"id":"demo/infer","rules":[{"backends":'
        '[{"service":"demo/service-python:8000"}],"matches":[{"path":{"type":"Exact","value":"/ä"}}],'
        '"name":"infer","timeouts":{"request":5000}}]}]}'
    )


def test_revision_with_an_explicit_default_is_unchanged() -> None:
    explicit = document.Timeouts(connect=2_000, request=5_000, backend_request=300_000, stream_idle=300_000)
    [rule] = ROUTE.rules
    same = ROUTE.model_copy(update={"rules": (rule.model_copy(update={"timeouts": explicit}),)})
    assert canonical.revision(document.ConfigDocument(routes=(same,))) == canonical.revision(CONFIG)


def test_canonical_bytes_read_back_as_the_document() -> None:
    read = document.ConfigDocument.model_validate_json(canonical.canonical(CONFIG))
    assert read == CONFIG
    assert canonical.canonical(read) == canonical.canonical(CONFIG)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_canonical_written_in_pieces_is_the_same(routes: int, policies: int, services: int) -> None:
    config = document.ConfigDocument(
        routes=tuple(ROUTE.model_copy(update={"id": f"demo/ä{number}"}) for number in range(routes)),
        policies=tuple(document.Policy(id=f"demo/{number}") for number in range(policies)),
    )
    address = document.Endpoint(address="10.0.0.1", port=80)
    endpoints = document.EndpointsDocument(services={f'"{n % 7}/{n}': (address,) * (n % 3) for n in range(services)})
    for whole in (config, endpoints):
        plain = whole.model_dump(mode="json", exclude_defaults=True)
        assert canonical.canonical(whole) == (
            json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        )


def test_revision_is_the_first_10_digits_of_the_digest() -> None:
    # A change of these digits makes every pod of every installation swap once: it has to be meant.
    assert canonical.revision(CONFIG) == canonical.digest(canonical.canonical(CONFIG))[:10] == "8771ea8006"
    assert canonical.revision(document.ConfigDocument()) == canonical.digest(b'{"format":2}')[:10]


@pytest.mark.outside
@pytest.mark.parametrize("seed", ["0", "1"])
def test_revision_in_another_process_is_the_same(seed: str) -> None:
    program = (
        "import sys; from inferway_contract import canonical, document;"
        "print(canonical.revision(document.ConfigDocument.model_validate_json(sys.stdin.buffer.read())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(json.loads(canonical.canonical(CONFIG)), indent=3).encode(),
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == canonical.revision(CONFIG)


addresses = st.builds(document.Endpoint, address=st.ip_addresses().map(str), port=st.integers(1, 65535))
services = st.dictionaries(st.text(min_size=1), st.lists(addresses, max_size=3).map(tuple), max_size=5)


@given(services)
def test_canonical_bytes_ignore_the_order_of_keys(found: dict[str, tuple[document.Endpoint, ...]]) -> None:
    turned = dict(reversed(found.items()))
    assert canonical.canonical(document.EndpointsDocument(services=found)) == canonical.canonical(
        document.EndpointsDocument(services=turned)
    )


@given(services, services)
def test_canonical_bytes_are_equal_only_for_equal_documents(
    one: dict[str, tuple[document.Endpoint, ...]], other: dict[str, tuple[document.Endpoint, ...]]
) -> None:
    left, right = document.EndpointsDocument(services=one), document.EndpointsDocument(services=other)
    assert (canonical.canonical(left) == canonical.canonical(right)) == (left == right)
