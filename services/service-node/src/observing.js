/** One metric and one log line per request, with any outcome. */

// A probe every second and a scrape every fifteen would be most of the log, without information.
const QUIET_PATHS = new Set(["/healthz", "/readyz", "/metrics"]);
// Bounds the length of a log line. Query strings and bodies are not logged at all.
const MAX_LOGGED_CHARACTERS = 256;
// nginx's status for a request whose client disconnected before the answer.
const CLIENT_GONE = 499;

/** Middleware; it must precede all code that can answer or fail. */
export function observing(metrics, log) {
  return function observe(request, response, next) {
    const started = performance.now();
    metrics.inFlight.inc();
    // Node reports an answer as finished even if it was discarded with its connection.
    let isTaken = false;
    response.prependOnceListener("finish", () => {
      isTaken = !request.socket.destroyed;
    });
    response.once("close", () => {
      metrics.inFlight.dec();
      const status = isTaken ? response.statusCode : CLIENT_GONE;
      // Routing stores the selected route in the request; none for a 404.
      const template = request.route?.path;
      const milliseconds = performance.now() - started;
      metrics.count(request.method, template, status, milliseconds / 1000);
      log(QUIET_PATHS.has(template) ? "debug" : status >= 500 ? "warning" : "info", "request", {
        request_id: request.get("x-request-id")?.slice(0, MAX_LOGGED_CHARACTERS) ?? null,
        method: request.method,
        path: request.path.slice(0, MAX_LOGGED_CHARACTERS),
        status,
        duration_ms: Math.round(milliseconds * 1000) / 1000,
      });
    });
    next();
  };
}
