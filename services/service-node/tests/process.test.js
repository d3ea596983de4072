/** The service as a process: it logs its address, and stops on a signal. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, get, request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import { test } from "node:test";

import { source, start } from "./processes.js";
import { waitUntil } from "./waiting.js";

async function open(t, port) {
  const socket = connect(port).on("error", () => {}); // a refused one may be reset
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

async function service(t, variables = {}) {
  const started = start(t, [process.execPath, source("main.js")], { SERVICE_NODE_PORT: "0", ...variables });
  const { port } = await started.event("listening");
  return { ...started, port };
}

/** A request whose body is not complete yet: in flight until `finish`. */
async function halfPosted(port) {
  const request = httpRequest({ port, path: "/logs", method: "POST", headers: { "content-type": "application/json" } });
  request.write('{"a":');
  const metrics = () => fetch(`http://127.0.0.1:${port}/metrics`).then((answer) => answer.text());
  await waitUntil(async () => /^service_node_requests_in_flight 2$/m.test(await metrics()), "it is in flight");
  return request;
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  test(`${signal}: what is in flight is answered, other connections are closed, the exit code is 0`, async (t) => {
    const { child, port, ended, events, event } = await service(t);
    const agent = new Agent({ keepAlive: true });
    const [kept] = await once(get({ port, path: "/healthz", agent }), "response");
    kept.resume();
    await once(kept, "end");
    const [keptSocket] = await waitUntil(() => Object.values(agent.freeSockets)[0], "the connection is kept");
    const silent = connect(port); // no request ever comes on it
    await once(silent, "connect");
    const request = await halfPosted(port);

    const closed = Promise.all([once(keptSocket, "close"), once(silent, "close")]);
    child.kill(signal);
    await closed;
    await event("stopping");
    request.end("1}");
    const [response] = await once(request, "response");
    assert.equal(response.statusCode, 202);
    assert.equal(response.headers.connection, "close");
    response.resume();

    assert.equal(await ended, 0);
    assert.deepEqual(
      events("stdout").map((line) => line.event),
      ["listening", "stopping", "request", "stopped"],
    );
  });
}

test("it does not wait longer than its stop timeout", async (t) => {
  const { child, port, ended, events } = await service(t, { SERVICE_NODE_STOP_TIMEOUT_SECONDS: "0" });
  const request = await halfPosted(port);
  request.on("error", () => {}); // it is cut, as expected
  child.kill("SIGTERM");
  assert.equal(await ended, 0);
  const stopped = events("stdout").find((line) => line.event === "stopped");
  assert.deepEqual([stopped.level, stopped.connections_cut], ["warning", 1]);
});

test("connections beyond their number are refused, and logged", async (t) => {
  const { port, event } = await service(t, { SERVICE_NODE_MAX_CONNECTIONS: "2" });
  const opened = await Promise.all([0, 1].map(() => open(t, port)));
  const beyond = await open(t, port);
  await waitUntil(() => beyond.closed, "it is closed");
  const { level, refused, max_connections: most } = await event("connections_refused");
  assert.deepEqual([level, refused, most], ["warning", 1, 2]);

  opened[0].destroy();
  await waitUntil(() => fetch(`http://127.0.0.1:${port}/healthz`).then((answer) => answer.ok, () => false), "there is room again");
});

test("wrong settings end it with 2 and are reported on stderr", async (t) => {
  const { ended, output } = start(t, [process.execPath, source("main.js")], { SERVICE_NODE_MAX_BYTES: "lots" });
  assert.equal(await ended, 2);
  assert.match(output.stderr, /^SERVICE_NODE_MAX_BYTES: must be a whole number/);
});

test("a port that is taken ends it with 1 and is logged", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { ended, events } = start(t, [process.execPath, source("main.js")], { SERVICE_NODE_PORT: String(taken.address().port) });
  assert.equal(await ended, 1);
  assert.equal(events("stdout")[0].error, "EADDRINUSE");
});
