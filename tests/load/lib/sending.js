// Sends one request of the mix, checks the answer and counts it.

import http from "k6/http";
import { check } from "k6";
import { sha256 } from "k6/crypto";
import { Counter, Rate } from "k6/metrics";
import exec from "k6/execution";

import { TARGET, number } from "./parameters.js";
import { request } from "./traffic.js";

// A rejection by policy is not a failure: it has a separate figure, `limited`.
http.setResponseCallback(http.expectedStatuses(200, 429));

export const METHODS = ["GET", "POST"];
export const STATUSES = ["200", "429", "5xx", "other", "none"];
export const OUTCOMES = ["HIT", "STALE", "REVALIDATED", "COALESCED", "MISS", "BYPASS", "absent"];

const limited = new Rate("limited");
const methods = counters("method", METHODS);
const statuses = counters("status", STATUSES);
const outcomes = counters("cache_get", OUTCOMES); // of GETs that were answered by 200
const bodyBytes = new Counter("body_bytes");

function counters(prefix, names) {
  return Object.fromEntries(names.map((name) => [name, new Counter(`${prefix}_${name}`)]));
}

function statusName(status) {
  if (status === 0) return "none";
  if (status === 200 || status === 429) return String(status);
  return status >= 500 ? "5xx" : "other";
}

const is429 = (answer) => answer.status === 429;

// A separate seed per run, so that the rare prompts of the previous run are not in the cache.
export function setup() {
  return { seed: number("SEED", Date.now() % 4294967296) };
}

export function send({ seed }, address) {
  const { method, prompt, address: spread } = request(seed, exec.scenario.iterationInTest);
  // One name for all prompts, because k6 keeps a series for each name and a soak has many thousands of prompts.
  const parameters = { headers: { "X-Forwarded-For": address || spread }, tags: { name: `${method} /infer` } };
  let answer;
  if (method === "GET") {
    answer = http.get(`${TARGET}/infer?prompt=${encodeURIComponent(prompt)}`, parameters);
  } else {
    const body = JSON.stringify({ prompt });
    parameters.headers["Content-Type"] = "application/json";
    bodyBytes.add(body.length);
    answer = http.post(`${TARGET}/infer`, body, parameters);
  }
  count(method, answer);
  verify(prompt, answer);
}

function count(method, answer) {
  methods[method].add(1);
  statuses[statusName(answer.status)].add(1);
  limited.add(is429(answer));
  if (method === "GET" && answer.status === 200) {
    const outcome = answer.headers["X-Cache"] || "absent";
    (outcomes[outcome] || outcomes.absent).add(1);
  }
}

function verify(prompt, answer) {
  if (is429(answer)) {
    check(answer, { "a 429 says when to come again": (it) => Number(it.headers["Retry-After"]) >= 1 });
    return;
  }
  check(answer, {
    "status is 200": (it) => it.status === 200,
    // service-python puts the prompt's hash into its answer, so a mixed-up or incomplete answer is detected.
    "the answer is to this question": (it) =>
      it.status === 200 && it.body.includes(`"prompt_sha256":"${sha256(prompt, "hex")}"`),
  });
}
