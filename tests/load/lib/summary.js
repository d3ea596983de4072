// One JSON object on standard output, on one line between two marker lines, so that a Job's log can be searched for it.

import { METHODS, OUTCOMES, STATUSES } from "./sending.js";
import { TARGET } from "./parameters.js";

export const BEGIN = "-----BEGIN LOAD SUMMARY-----";
export const END = "-----END LOAD SUMMARY-----";

// Answers without a request to the service.
const FROM_CACHE = ["HIT", "STALE", "COALESCED"];

export function handleSummaryOf(script) {
  return (data) => ({ stdout: `${BEGIN}\n${JSON.stringify(summary(script, data))}\n${END}\n` });
}

function summary(script, data) {
  const values = (metric) => (data.metrics[metric] || { values: {} }).values;
  const count = (metric) => values(metric).count || 0;
  const counts = (prefix, names) => Object.fromEntries(names.map((name) => [name, count(`${prefix}_${name}`)]));
  const share = (part, whole) => (whole === 0 ? null : part / whole);

  const requests = count("http_reqs");
  const outcomes = counts("cache_get", OUTCOMES);
  const methods = counts("method", METHODS);
  const hits = FROM_CACHE.reduce((sum, name) => sum + outcomes[name], 0);
  const lookups = OUTCOMES.reduce((sum, name) => sum + outcomes[name], 0);
  const statuses = counts("status", STATUSES);
  const demands = thresholds(data.metrics);
  return {
    script,
    target: TARGET,
    seconds: data.state.testRunDurationMs / 1000,
    requests,
    requests_per_second: values("http_reqs").rate || 0,
    not_started: count("dropped_iterations"),
    methods,
    statuses,
    failed_share: requests === 0 ? null : values("http_req_failed").rate,
    limited_share: share(statuses["429"], requests),
    cache_of_gets: outcomes,
    hit_share_of_gets: share(hits, lookups),
    hit_share: share(hits, statuses["200"]),
    mean_body_bytes: share(count("body_bytes"), methods.POST),
    duration_ms: percentiles(values("http_req_duration")),
    served_duration_ms: percentiles(values("http_req_duration{status:200}")),
    checks: checks(data.root_group),
    thresholds: demands,
    passed: demands.every((demand) => demand.holds),
  };
}

function percentiles(values) {
  const names = { mean: "avg", p50: "med", p90: "p(90)", p95: "p(95)", p99: "p(99)", max: "max" };
  return Object.fromEntries(Object.entries(names).map(([name, stat]) => [name, stat in values ? values[stat] : null]));
}

function checks(group) {
  return group.checks.map(({ name, passes, fails }) => ({ name, passes, fails }));
}

function thresholds(metrics) {
  return Object.entries(metrics).flatMap(([metric, { thresholds: demands = {} }]) =>
    Object.entries(demands).map(([demand, { ok }]) => ({ metric, demand, holds: ok })),
  );
}
