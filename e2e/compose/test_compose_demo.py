"""`make compose-test`: the demo behaves as in docs/compose.md. Skipped without docker compose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from compose_project import Project, missing, running

from inferway_testing.until import until

pytestmark = pytest.mark.timeout(1800)

JOBS = {"inferway-gateway", "service-python", "service-node"}
SERVED = 5.0  # seconds until a change of a file is served; half a second on an idle machine
SCRAPED = 60.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Start the demo once for all tests of this file."""
    if lacking := missing():
        pytest.skip(f"needs {lacking}")
    with running(tmp_path_factory.mktemp("compose")) as project:
        yield project


def await_status(demo: Project, path: str, status: int = 200) -> None:
    """Wait until a path is answered with this status: after a change, or when a limit permits it again."""
    until(lambda: demo.ask(path).status == status, f"{path} is answered {status}", SERVED)


def test_routes_reach_both_services(demo: Project) -> None:
    answer = demo.ask("/infer?prompt=hello")
    assert answer.status == 200
    assert answer.json()["model"]
    assert "lines" in demo.ask("/logs").json()
    assert demo.ask("/nothing").status == 404
    assert demo.ask("/logs", method="POST").status == 404, "no client writes the log from outside"


def test_second_response_comes_from_the_cache(demo: Project) -> None:
    first, second = demo.ask("/infer?prompt=twice"), demo.ask("/infer?prompt=twice")
    assert [answer.headers["x-cache"] for answer in (first, second)] == ["MISS", "HIT"]
    assert first.body == second.body


def test_client_over_its_rate_limit_gets_429(demo: Project) -> None:
    statuses = demo.many("/infer?prompt=often", 200)
    assert set(statuses) == {200, 429}
    assert statuses.index(429) >= 20, "the burst of 40 passes, less what the tests before took"
    await_status(demo, "/infer?prompt=often")


def test_edited_file_is_served_and_a_broken_one_rejected(demo: Project) -> None:
    file = demo.resources / "routes.yaml"
    sound = file.read_text()
    file.write_text(sound.replace("value: /infer}", "value: /ask}"))
    await_status(demo, "/infer", 404)
    file.write_text(sound.replace("value: /infer}", "value: 7}"))
    until(
        lambda: "routes.yaml" in (demo.ask("/debug/config", port=9090).json()["lastError"] or ""),
        "the error is reported",
        SERVED,
    )
    assert demo.ask("/infer?prompt=x").status == 404, "the last good state is still served"
    file.write_text(sound)
    await_status(demo, "/infer?prompt=x")


def test_prometheus_scrapes_every_target_and_has_the_rules(demo: Project) -> None:
    until(lambda: demo.query("up") == dict.fromkeys(JOBS, 1.0), "every target is up", SCRAPED)
    demo.ask("/infer?prompt=counted")
    until(lambda: demo.query("sum%20by%20(job)%20(http_requests_total)"), "requests are counted", SCRAPED)
    groups = demo.ask("/api/v1/rules", "prometheus", 9090).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {"TargetDown", "ResourcesRefused", "RequestsFail"}
    until(
        lambda: all(
            rule["health"] == "ok"
            for group in demo.ask("/api/v1/rules", "prometheus", 9090).json()["data"]["groups"]
            for rule in group["rules"]
        ),
        "every rule can be evaluated",
        SCRAPED,
    )


def test_access_log_arrives_after_a_restart_of_the_shipper(demo: Project) -> None:
    def arrived(path: str) -> bool:
        answer = demo.ask("/logs?limit=1000")
        return answer.status == 200 and any(line.get("path") == path for line in answer.json()["lines"])

    demo.ask("/shipped-at-once")
    until(lambda: arrived("/shipped-at-once"), "the line of a request", SERVED)
    assert "/shipped-at-once" in demo.compose("logs", "--no-log-prefix", "access-log")

    demo.compose("stop", "access-log")
    assert demo.ask("/shipped-later").status == 404
    demo.compose("start", "access-log")
    until(lambda: arrived("/shipped-later"), "the line of a request while nothing was shipped", SERVED)


def test_containers_run_unprivileged_on_loopback_ports(demo: Project) -> None:
    for name, container in demo.containers().items():
        host = container["HostConfig"]
        assert container["Config"]["User"] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert all(
            binding["HostIp"] == "127.0.0.1" for bound in (host["PortBindings"] or {}).values() for binding in bound
        ), name


def test_every_container_stops_with_exit_code_0(demo: Project) -> None:
    """This test is the last in this file, because it stops everything."""
    demo.compose("stop")
    codes = {name: container["State"]["ExitCode"] for name, container in demo.containers().items()}
    assert codes == dict.fromkeys(codes, 0)
    assert len(codes) == 5
