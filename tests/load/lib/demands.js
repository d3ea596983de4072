// k6's options that the scripts share: thresholds, which decide a run's exit code, and the virtual users of a rate.

import { number } from "./parameters.js";

const P95_MS = number("P95_MS", 200);
const P99_MS = number("P99_MS", 400);

export const TREND_STATS = ["avg", "med", "p(90)", "p(95)", "p(99)", "max"];

// `limited`: the required share of 429, in k6's syntax; `planned`: the number of requests that the script will start.
export function thresholds({ limited, planned }) {
  const durations = [`p(95)<${P95_MS}`, `p(99)<${P99_MS}`];
  return {
    http_req_failed: [
      "rate<0.001",
      // An absent target, or one that always fails, is detected after ten seconds.
      { threshold: "rate<0.5", abortOnFail: true, delayAbortEval: "10s" },
    ],
    http_req_duration: durations,
    "http_req_duration{status:200}": durations, // without rejections, which are quick and would improve the figures
    checks: ["rate>0.999"],
    limited: [limited],
    // A rate that was not reached proves nothing about that rate.
    dropped_iterations: [`count<${Math.max(1, Math.ceil(planned / 100))}`],
  };
}

// Enough users for answers that take two seconds; those for half a second exist from the start.
export function users(rate) {
  return { preAllocatedVUs: Math.max(10, Math.ceil(rate / 2)), maxVUs: Math.max(20, rate * 2) };
}

export function options({ scenario, limited, planned }) {
  return { scenarios: { load: scenario }, thresholds: thresholds({ limited, planned }), summaryTrendStats: TREND_STATS };
}
