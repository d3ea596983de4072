"""The pure parts of the benchmark: output of wrk and /proc, medians, load-bound, ratios, the report."""

import json

import pytest

from bench import answer, compare, load, measure, origin, peers, procfs, ratios, report, servers
from bench.peers import envoy, roster

PROXIED, HIT = peers.Case.PROXIED, peers.Case.HIT

WRK = """Running 4s test @ http://127.0.0.1:41234
  1 threads and 32 connections
Requests/sec:  49000.12
BENCH requests=196000 duration_us=4000000 bytes=168952000 status=1 connect=2 read=3 write=4 timeout=5 wrong=6 p50_us=610 p99_us=1405
WRONG 502 bad gateway
"""


def measurement(per_second: float, cpu_us: float, busy: float = 100.0, foreign: float = 0.0) -> measure.Measurement:
    return measure.Measurement(
        per_second=per_second,
        cpu_us=cpu_us,
        p50_us=600,
        p99_us=1400,
        max_rss=50_000_000,
        proxy_busy=busy,
        load_busy=70.0,
        stolen=0.0,
        foreign=foreign,
    )


# ---------------------------------------------------------------------------------------------------- wrk


def test_wrk_summary_is_parsed() -> None:
    result = load.parse(WRK)
    assert (result.requests, result.seconds, result.per_second) == (196_000, 4.0, 49_000.0)
    assert (result.p50_us, result.p99_us) == (610, 1405)
    assert result.bytes_per_answer == 862.0
    assert (result.refusals, result.socket_errors, result.wrong) == (1, 2 + 3 + 4 + 5, 6)
    assert result.example == "502 bad gateway"


def test_wrk_without_a_summary_fails_with_its_output() -> None:
    with pytest.raises(servers.BenchError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


# ---------------------------------------------------------------------------------------------------- /proc


def stat_line(pid: int, command: str, parent: int, user: int, system: int) -> str:
    return f"{pid} ({command}) S {parent} 1 1 0 -1 4194304 9 8 7 6 {user} {system} 5 4 20 0 3 0 99 1000 200"


@pytest.mark.parametrize("command", ["nginx", "nginx: worker", "odd) (name", "a b) S 1 (c"])
def test_process_stat_is_parsed_with_any_command_name(command: str) -> None:
    stat = procfs.parse_process_stat(stat_line(42, command, 7, 3 * procfs.TICKS_PER_SECOND, procfs.TICKS_PER_SECOND))
    assert (stat.pid, stat.command, stat.parent, stat.cpu_seconds) == (42, command, 7, 4.0)


def test_own_process_is_listed() -> None:
    processes = procfs.read_processes()
    root = next(iter(processes))
    assert root in procfs.family(root, processes)


def test_memory_is_parsed_and_zero_for_a_zombie() -> None:
    text = "Name:\tnginx\nVmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t   256 kB\nThreads:\t1\n"
    assert procfs.parse_memory(text) == procfs.Memory(resident=256 * 1024, peak=512 * 1024)
    assert procfs.parse_memory("Name:\tnginx\nState:\tZ (zombie)\n") == procfs.Memory(0, 0)


def test_family_is_the_whole_process_tree() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 11, 20: 1}
    processes = {pid: procfs.ProcessStat(pid, "x", parent, 0.0) for pid, parent in parents.items()}
    assert sorted(procfs.family(10, processes)) == [10, 11, 12, 13]
    assert procfs.family(99, processes) == []


def test_busy_percent_excludes_stolen_time() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 10 1 20 100 5 2 3 0 0 0\ncpu1 70 0 20 100 0 5 5 50 0 0\nintr 1 2\n"
    cores = procfs.parse_cores(text)
    assert cores == {0: procfs.CoreTimes(36, 105, 0), 1: procfs.CoreTimes(100, 100, 50)}
    start = procfs.CoreTimes(0, 0, 0)
    assert procfs.busy_percent(start, cores[1]) == 50.0
    assert procfs.stolen_percent(start, cores[1]) == 20.0


def test_an_idle_counter_that_steps_back_counts_as_fully_busy() -> None:
    assert procfs.busy_percent(procfs.CoreTimes(0, 10, 0), procfs.CoreTimes(100, 9, 0)) == 100.0
    assert procfs.busy_percent(procfs.CoreTimes(5, 5, 0), procfs.CoreTimes(5, 5, 0)) == 0.0


# ---------------------------------------------------------------------------------------------------- output of servers


def test_stub_status_is_parsed() -> None:
    text = "Active connections: 3 \nserver accepts handled requests\n 5 5 12345 \nReading: 0 Writing: 1 Waiting: 2 \n"
    assert origin.parse_requests(text) == 12345
    with pytest.raises(servers.BenchError):
        origin.parse_requests("<html>404</html>")


def test_envoy_limit_counters_are_parsed() -> None:
    text = "\n".join(
        f"bench.http_local_rate_limit.{name}: {n}" for name, n in (("enabled", 9), ("ok", 7), ("rate_limited", 2))
    )
    assert envoy.parse_limits(text) == (7, 2)
    assert envoy.parse_limits("") == (0, 0)


@pytest.mark.parametrize("number", [0, 7, 999])
def test_response_body_is_json_of_the_documented_size(number: int) -> None:
    body = answer.body(number)
    assert len(body) == answer.BODY_SIZE == 707
    assert json.loads(body)["prompt"] == answer.prompt(number)


# ---------------------------------------------------------------------------------------------------- ratios


def test_ratio_uses_requests_while_both_cores_are_busy() -> None:
    result = ratios.ratio([measurement(45_000, 20)] * 3, [measurement(30_000, 33)] * 3, "envoy")
    assert (result.value.median, result.basis, result.load_bound) == (1.5, "req/s", ())


@pytest.mark.parametrize(
    ("ours_busy", "theirs_busy", "load_bound"),
    [(94.9, 100.0, ("inferway",)), (95.0, 60.0, ("nginx",)), (50.0, 60.0, ("inferway", "nginx"))],
)
def test_ratio_uses_cpu_time_if_either_is_load_bound(
    ours_busy: float, theirs_busy: float, load_bound: tuple[str, ...]
) -> None:
    result = ratios.ratio([measurement(40_000, 20, ours_busy)] * 3, [measurement(60_000, 13, theirs_busy)] * 3, "nginx")
    assert result.value.median == pytest.approx(0.65)
    assert (result.basis, result.load_bound) == ("cpu us/request", load_bound)


def test_ratio_uses_cpu_time_if_the_core_was_disturbed() -> None:
    result = ratios.ratio([measurement(20_000, 20, foreign=50)] * 3, [measurement(30_000, 30)] * 3, "envoy")
    assert (result.value.median, result.basis, result.disturbed) == (1.5, "cpu us/request", ("inferway",))


def test_one_disturbed_round_of_five_leaves_the_ratio_unchanged() -> None:
    ours = [measurement(40_000, 20)] * 4 + [measurement(9_000, 80, busy=40, foreign=60)]
    result = ratios.ratio(ours, [measurement(32_000, 30)] * 5, "envoy")
    assert not ratios.is_load_bound(ours)
    assert (result.value.median, result.basis) == (1.25, "req/s")
    assert result.value.low == 9_000 / 32_000


def test_rounds_are_paired_so_machine_drift_cancels() -> None:
    pace = [1.0, 0.5, 0.8]
    ours, theirs = [measurement(45_000 * p, 20 / p) for p in pace], [measurement(30_000 * p, 30 / p) for p in pace]
    result = ratios.ratio(ours, theirs, "envoy")
    assert (result.value.low, result.value.high) == (1.5, 1.5)


def test_ratio_without_measurable_cpu_time_is_zero() -> None:
    result = ratios.ratio([measurement(100, 0.0, 3)], [measurement(100, 0.0, 3)], "nginx")
    assert result.value.median == 0.0


def test_spread_is_half_the_range_of_the_median() -> None:
    assert ratios.Spread.of([90, 100, 120]) == ratios.Spread(100, 90, 120)
    assert ratios.Spread.of([90, 100, 120]).percent == 15.0


def run_of(*keys: ratios.Key) -> dict[ratios.Key, list[measure.Measurement]]:
    figures = {"nginx": (72_000, 13), "envoy": (33_000, 30), "plain": (550, 1800), "inferway": (49_500, 19)}
    return {key: [measurement(*figures[key.peer])] * 5 for key in keys}


def test_headline_names_measured_proxies_at_32_connections() -> None:
    everything = run_of(
        *(ratios.Key(PROXIED, n, who) for n in (1, 32) for who in ("nginx", "envoy", "plain", "inferway")),
        *(ratios.Key(HIT, 32, who) for who in ("nginx", "inferway")),
    )
    assert ratios.headline(ratios.all_ratios(everything)) == {
        "proxied_vs_envoy": 1.5,
        "proxied_vs_nginx": 0.6875,
        "hits_vs_nginx": 0.6875,
    }
    only_one = {key: rounds for key, rounds in everything.items() if key.connections == 1}
    assert ratios.headline(ratios.all_ratios(only_one)) == {}
    without_us = {key: rounds for key, rounds in everything.items() if key.peer != "inferway"}
    assert ratios.all_ratios(without_us) == {}


# ---------------------------------------------------------------------------------------------------- plan, report

PLAN = compare.Plan(roster.ALL, (PROXIED, HIT), (1, 32, 256), rounds=5, seconds=4, cores=measure.Cores(0, 1))


def test_default_plan_takes_less_than_twelve_minutes() -> None:
    assert len(PLAN.one_round()) == 3 * 4 + 3 * 2
    assert PLAN.expected_seconds() < 12 * 60


def test_each_round_measures_all_and_starts_with_another_proxy() -> None:
    keys = PLAN.one_round()
    rounds = [compare.order(keys, number) for number in range(4)]
    assert all(sorted(one) == sorted(keys) for one in rounds)
    assert {one[0].peer for one in rounds} == {"nginx", "envoy", "plain", "inferway"}


def test_json_report_contains_ratios_and_every_figure() -> None:
    keys = [ratios.Key(PROXIED, 32, who) for who in ("envoy", "inferway")]
    document = json.loads(json.dumps(report.document(PLAN, {"cpu": "some"}, run_of(*keys))))
    assert document["ratios"] == {"proxied_vs_envoy": 1.5}
    case = document["cases"][0]
    assert (case["case"], case["connections"], case["proxy"], case["load_bound"]) == ("proxied", 32, "envoy", False)
    assert case["per_second"] == {"median": 33_000, "low": 33_000, "high": 33_000}
    assert len(case["rounds"]) == 5


def test_remarks_name_load_bound_and_disturbance() -> None:
    assert report.remarks([measurement(1, 1)]) == ""
    assert report.remarks([measurement(1, 1, busy=70, foreign=25)]) == "load-bound, others 25%"
