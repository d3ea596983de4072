/** Settings: defaults, values, and all errors at once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { settings } from "../src/settings.js";
import { shipSettings } from "../src/ship-settings.js";

test("without any variable there are standards", () => {
  assert.deepEqual(settings({}), {
    host: "127.0.0.1",
    port: 3000,
    logLevel: "info",
    stopTimeoutSeconds: 10,
    maxLines: 10_000,
    maxBytes: 16 * 1024 * 1024,
    maxBodyBytes: 1024 * 1024,
    maxLineBytes: 16 * 1024,
    maxBatchLines: 1000,
    maxAnswerBytes: 1024 * 1024,
    maxConnections: 256,
    answerTimeoutSeconds: 60,
  });
});

test("variables are read, and an empty one is none", () => {
  const read = settings({ SERVICE_NODE_PORT: "0", SERVICE_NODE_HOST: "::1", SERVICE_NODE_MAX_LINES: "" });
  assert.deepEqual([read.port, read.host, read.maxLines], [0, "::1", 10_000]);
});

test("a Service variable of Kubernetes with this name is not a port", () => {
  assert.equal(settings({ SERVICE_NODE_PORT: "tcp://10.96.0.7:3000" }).port, 3000);
});

test("all errors are reported, by the variables' names", () => {
  const wrong = { SERVICE_NODE_PORT: "65536", SERVICE_NODE_MAX_LINES: "1e3", SERVICE_NODE_LOG_LEVEL: "loud", SERVICE_NODE_HOST: "a b" };
  assert.throws(
    () => settings(wrong),
    (error) => Object.keys(wrong).every((name) => error.message.includes(`${name}: must be `)),
  );
});

test("the shipper requires its target, and prints no password", () => {
  assert.throws(() => shipSettings({}), { message: /^SHIP_TO: must be set/ });
  assert.throws(() => shipSettings({ SHIP_TO: "ftp://x/" }), { message: /^SHIP_TO: must be an http/ });
  assert.throws(
    () => shipSettings({ SHIP_TO: "http://me:s3cret@x/logs" }),
    (error) => /^SHIP_TO: must not hold/.test(error.message) && !error.message.includes("s3cret"),
  );
  assert.equal(shipSettings({ SHIP_TO: "http://service-node:3000/logs" }).to.host, "service-node:3000");
});
