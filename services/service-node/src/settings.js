/** Every setting of the service, from the environment: SERVICE_NODE_PORT=3001 and so on (README). */

import { Environment } from "./environment.js";
import { LEVELS } from "./log.js";

const MIB = 1024 * 1024;

/** The settings. Throws a SettingsError that lists all errors. */
export function settings(variables) {
  const from = new Environment(variables, "SERVICE_NODE_");
  return from.finish({
    host: from.host("HOST", "127.0.0.1"),
    port: from.integer("PORT", 3000, { least: 0, most: 65535 }),
    logLevel: from.choice("LOG_LEVEL", "info", LEVELS),
    stopTimeoutSeconds: from.integer("STOP_TIMEOUT_SECONDS", 10, { least: 0, most: 3600 }),
    maxLines: from.integer("MAX_LINES", 10_000, { least: 1, most: 1_000_000 }),
    maxBytes: from.integer("MAX_BYTES", 16 * MIB, { least: 1024, most: 1024 * MIB }),
    maxBodyBytes: from.integer("MAX_BODY_BYTES", MIB, { least: 64, most: 64 * MIB }),
    maxLineBytes: from.integer("MAX_LINE_BYTES", 16 * 1024, { least: 64, most: MIB }),
    maxBatchLines: from.integer("MAX_BATCH_LINES", 1000, { least: 1, most: 100_000 }),
    maxAnswerBytes: from.integer("MAX_ANSWER_BYTES", MIB, { least: 1024, most: 64 * MIB }),
    maxConnections: from.integer("MAX_CONNECTIONS", 256, { least: 1, most: 65_535 }),
    answerTimeoutSeconds: from.integer("ANSWER_TIMEOUT_SECONDS", 60, { least: 1, most: 3600 }),
  });
}
