/** The shipper as a process, with the service as another one. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { source, start } from "./processes.js";
import { waitUntil } from "./waiting.js";

const SHIP = [process.execPath, source("ship.js")];

async function service(t, port = 0) {
  const { event } = start(t, [process.execPath, source("main.js")], { SERVICE_NODE_PORT: String(port) });
  const url = `http://127.0.0.1:${(await event("listening")).port}/logs`;
  const kept = async () => (await (await fetch(url)).json()).lines;
  return { url, kept };
}

test("it passes everything on, ships what is JSON, and ends with its input", async (t) => {
  const { url, kept } = await service(t);
  const { child, output, ended, events } = start(t, SHIP, { SHIP_TO: url });
  const text = '{"event":"request","n":1}\nTraceback: no JSON\n{"event":"request","n":2}\n{"broken":\n{"n":3}';
  child.stdin.end(text);
  assert.equal(await ended, 0);
  assert.equal(output.stdout, text);
  assert.deepEqual((await kept()).map(({ n }) => n), [3, 2, 1]);
  const { shipped, dropped } = events("stderr").at(-1);
  assert.deepEqual([shipped, dropped], [3, 0]);
});

test("a service that comes later gets the lines of before", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address();
  taken.close();
  await once(taken, "close");

  const { child, ended, event } = start(t, SHIP, { SHIP_TO: `http://127.0.0.1:${port}/logs`, SHIP_STOP_TIMEOUT_SECONDS: "60" });
  child.stdin.end('{"n":1}\n');
  assert.equal((await event("not_shipped", "stderr")).error, "ECONNREFUSED");
  const { kept } = await service(t, port);
  assert.equal(await ended, 0);
  assert.deepEqual(await kept(), [{ n: 1 }]);
});

test("a service that never answers blocks nothing: lines are still read, and the end is in time", async (t) => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => silent.close());
  const { child, output, ended, events } = start(t, SHIP, {
    SHIP_TO: `http://127.0.0.1:${silent.address().port}/logs`,
    SHIP_MAX_LINES: "100",
    SHIP_STOP_TIMEOUT_SECONDS: "0",
    SHIP_TIMEOUT_SECONDS: "300",
  });
  const lines = '{"n":1}\n'.repeat(100_000); // far more than a pipe holds
  child.stdin.end(lines);
  assert.equal(await ended, 0);
  assert.equal(output.stdout.length, lines.length);
  const stopped = events("stderr").at(-1);
  assert.deepEqual([stopped.event, stopped.shipped, stopped.dropped], ["stopped", 0, 100_000]);
});

test("through a named pipe that both ends hold open, whoever starts first, and SIGTERM ends it", async (t) => {
  const { url, kept } = await service(t);
  const directory = mkdtempSync(join(tmpdir(), "ship-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const pipe = join(directory, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);

  // A writer without a reader is not blocked, and the end of a writer does not end the reader.
  const first = start(t, ["sh", "-c", `exec 1<>"$0"; echo '{"n":1}'; exec sleep 60`, pipe]);
  const shipper = start(t, ["sh", "-c", `exec "$1" "$2" 0<>"$0"`, pipe, ...SHIP], { SHIP_TO: url });
  await waitUntil(async () => (await kept()).length === 1, "the line of before is shipped");
  first.child.kill("SIGKILL");
  await first.ended;
  spawnSync("sh", ["-c", `echo '{"n":2}' 1<>"$0"`, pipe]);
  await waitUntil(async () => (await kept()).length === 2, "the line of the next writer is shipped");

  shipper.child.kill("SIGTERM");
  assert.equal(await shipper.ended, 0);
  assert.equal(shipper.events("stderr").at(-1).shipped, 2);
});

test("a reader of its output that goes does not end it", async (t) => {
  const { url, kept } = await service(t);
  const { child, ended } = start(t, SHIP, { SHIP_TO: url });
  child.stdout.destroy();
  child.stdin.write('{"n":1}\n');
  await waitUntil(async () => (await kept()).length === 1, "the first line");
  child.stdin.end('{"n":2}\n');
  assert.equal(await ended, 0);
  assert.equal((await kept()).length, 2);
});

test("without a place to ship to it ends with 2", async (t) => {
  const { ended, output } = start(t, SHIP);
  assert.equal(await ended, 2);
  assert.match(output.stderr, /^SHIP_TO: must be set/);
});
