/** Every setting of the shipper, from the environment: SHIP_TO=http://service-node:3000/logs and so on (README). */

import { Environment } from "./environment.js";
import { LEVELS } from "./log.js";

const MIB = 1024 * 1024;

/** The settings. Throws a SettingsError that lists all errors. */
export function shipSettings(variables) {
  const from = new Environment(variables, "SHIP_");
  return from.finish({
    to: from.url("TO"),
    logLevel: from.choice("LOG_LEVEL", "info", LEVELS),
    maxLines: from.integer("MAX_LINES", 10_000, { least: 1, most: 1_000_000 }),
    maxBytes: from.integer("MAX_BYTES", 8 * MIB, { least: 1024, most: 1024 * MIB }),
    maxLineBytes: from.integer("MAX_LINE_BYTES", 16 * 1024, { least: 64, most: MIB }),
    timeoutSeconds: from.integer("TIMEOUT_SECONDS", 5, { least: 1, most: 300 }),
    stopTimeoutSeconds: from.integer("STOP_TIMEOUT_SECONDS", 5, { least: 0, most: 3600 }),
  });
}
