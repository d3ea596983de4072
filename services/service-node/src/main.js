/**
 * The process: settings from the environment, logs to stdout, stops on SIGTERM or SIGINT.
 *
 * Exit codes: 0 = stopped in order, 1 = it cannot listen, 2 = a setting is invalid (reported on stderr).
 */

import { createServer } from "node:http";

import { createApp } from "./app.js";
import { logRefused } from "./connections.js";
import { SettingsError } from "./environment.js";
import { logger } from "./log.js";
import { settings as read } from "./settings.js";
import { Stopping } from "./stopping.js";

// Longer than the gateway keeps an unused upstream connection (60 s). Otherwise it may send a request on a closing one.
const KEEP_ALIVE_MS = 75_000;
const REQUEST_TIMEOUT_MS = 30_000;

function settingsOrExit() {
  try {
    return read(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(2);
  }
}

const settings = settingsOrExit();
const log = logger(settings.logLevel);
const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_TIMEOUT_MS });
server.maxConnections = settings.maxConnections;
logRefused(server, log);
const stopping = new Stopping(server);
server.on(
  "request",
  createApp(settings, log, () => stopping.isStopping),
);

server.once("error", (error) => {
  log("error", "cannot_listen", { host: settings.host, port: settings.port, error: error.code });
  process.exitCode = 1;
});
server.listen(settings.port, settings.host, () => {
  // A signal during the lookup of the address found nothing to close.
  if (stopping.isStopping) return server.close();
  const { address, port } = server.address();
  return log("info", "listening", { host: address, port });
});

let signals = 0;
async function stop(signal) {
  signals += 1;
  if (signals > 1) return; // already in progress
  log("info", "stopping", { signal });
  const cut = await stopping.stop(settings.stopTimeoutSeconds);
  log(cut > 0 ? "warning" : "info", "stopped", { connections_cut: cut });
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
