/** The metrics for Prometheus. Labels come from fixed sets only, so a scanner cannot make the registry grow. */

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

// The methods of RFC 9110 and PATCH; all other methods share one label.
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The instruments of one application, in a separate registry: two applications in a process do not clash. */
export class Metrics {
  registry = new Registry();

  /** `store`: the LogStore whose figures are exported. */
  constructor(store) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.inFlight = new Gauge({
      name: "service_node_requests_in_flight",
      help: "Requests being answered now, the one that reads this included.",
      registers,
    });
    this.requests = new Counter({
      name: "service_node_requests_total",
      help: "Requests answered, by method, path template and status code.",
      labelNames: ["method", "path", "code"],
      registers,
    });
    this.seconds = new Histogram({
      name: "service_node_request_duration_seconds",
      help: "Time from the request's head to the end of its answer.",
      labelNames: ["method", "path"],
      buckets: BUCKETS,
      registers,
    });
    this.accepted = new Counter({
      name: "service_node_log_lines_accepted_total",
      help: "Log lines taken.",
      registers,
    });
    const kept = (name, help, type, value) =>
      new type({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(value());
        },
      });
    kept("service_node_log_lines", "Log lines kept now.", Gauge, () => store.count);
    kept("service_node_log_bytes", "Memory of the log lines kept now, about.", Gauge, () => store.bytes);
    kept("service_node_log_lines_evicted_total", "Log lines that gave way to newer ones.", Counter, () => store.evicted);
  }

  /** Count one finished request. `path`: the route's template, undefined if no route matched. `seconds`: its duration. */
  count(method, path = "unmatched", status, seconds) {
    const labels = { method: METHODS.has(method) ? method : "OTHER", path };
    this.requests.inc({ ...labels, code: String(status) });
    this.seconds.observe(labels, seconds);
  }
}
