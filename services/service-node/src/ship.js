/**
 * Reads a log on standard input, copies it to standard output as `tee` does, and sends its JSON lines to POST /logs.
 *
 *     SHIP_TO=http://127.0.0.1:3000/logs  inferway run DIR | node ship.js
 *
 * Its own log is on stderr. Ends with its input, or on SIGTERM or SIGINT, after sending the waiting lines
 * (for at most SHIP_STOP_TIMEOUT_SECONDS).
 * Exit codes: 0 = ended in order, 2 = a setting is invalid (reported on stderr).
 */

import { SettingsError } from "./environment.js";
import { LineSplitter } from "./line-splitter.js";
import { logger } from "./log.js";
import { shipSettings } from "./ship-settings.js";
import { Shipment } from "./shipment.js";

// Time between two log lines about lost lines.
const LOG_INTERVAL_MS = 10_000;

function settingsOrExit() {
  try {
    return shipSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(2);
  }
}

const settings = settingsOrExit();
const log = logger(settings.logLevel, process.stderr);
const cutting = new AbortController();
const splitter = new LineSplitter(settings.maxLineBytes);

async function post(body) {
  const response = await fetch(settings.to, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body,
    redirect: "manual",
    signal: AbortSignal.any([AbortSignal.timeout(settings.timeoutSeconds * 1000), cutting.signal]),
  });
  await response.arrayBuffer(); // read, the connection serves the next batch
  return response.status;
}

const shipment = new Shipment({ post, log, maxLines: settings.maxLines, maxBytes: settings.maxBytes });

/** Whether a line is for the service: other output of the program is only copied. */
function isLogLine(text) {
  if (!text.startsWith("{")) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function take(lines) {
  for (const line of lines) if (isLogLine(line)) shipment.add(line);
}

function losses() {
  return { dropped: shipment.dropped, too_long: splitter.tooLong };
}

let lastLogged = 0;
const lossTimer = setInterval(() => {
  const lost = shipment.dropped + splitter.tooLong;
  if (lost > lastLogged) log("warning", "lines_lost", losses());
  lastLogged = lost;
}, LOG_INTERVAL_MS);

let isEnding = false;
function end() {
  if (isEnding) return;
  isEnding = true;
  process.stdin.destroy();
  take(splitter.rest());
  shipment.end();
  const cut = () => {
    shipment.cancel();
    cutting.abort();
  };
  setTimeout(cut, settings.stopTimeoutSeconds * 1000).unref();
}

// The reader of the output has exited (`| head`): the lines are still shipped.
let isEchoing = true;
process.stdout.on("error", () => {
  isEchoing = false;
});
process.stdin.on("data", (chunk) => {
  if (isEchoing) process.stdout.write(chunk);
  take(splitter.lines(chunk));
});
process.stdin.on("error", (error) => {
  log("error", "input_failed", { error: error.code });
  end();
});
process.stdin.on("end", end);
process.on("SIGTERM", end);
// Ctrl-C reaches the whole pipeline. The log's writer still has lines to write, and its end ends the shipper. A second
  // Ctrl-C stops it at once.
process.once("SIGINT", () => process.on("SIGINT", end));

log("info", "shipping", { to: settings.to.origin + settings.to.pathname });
await shipment.run();
clearInterval(lossTimer);
log("info", "stopped", { shipped: shipment.shipped, ...losses() });
