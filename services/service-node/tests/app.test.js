/** The application over a socket. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { test } from "node:test";

import { createApp } from "../src/app.js";
import { settings } from "../src/settings.js";

/** A running application, ended after the test: how to ask it, and what it logged. */
async function running(t, variables = {}, isStopping) {
  const logged = [];
  const log = (level, event, fields) => logged.push({ level, event, ...fields });
  const server = createServer(createApp(settings(variables), log, isStopping)).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${server.address().port}`;
  const ask = (path, options) => fetch(url + path, options);
  const post = (body, type = "application/json", headers = {}) =>
    ask("/logs", { method: "POST", body, headers: { "content-type": type, ...headers } });
  const lines = async (query = "") => (await (await ask(`/logs${query}`)).json()).lines;
  return { url, ask, post, lines, logged };
}

async function problem(response, status) {
  assert.equal(response.status, status);
  assert.equal(response.headers.get("content-type").split(";")[0], "application/problem+json");
  const document = await response.json();
  assert.equal(document.status, status);
  return document.detail;
}

test("lines that were posted are there, the newest first", async (t) => {
  const { post, lines } = await running(t);
  const answer = await post('{"n":1,"level":"info","route":"shop/a"}');
  assert.deepEqual([answer.status, await answer.json()], [202, { accepted: 1 }]);
  assert.deepEqual(await (await post('[{"n":2,"level":"error"},{"n":3,"route":"shop/a"}]')).json(), { accepted: 2 });
  assert.equal((await post('{"n":4}\n{"n":5}\n', "application/x-ndjson; charset=utf-8")).status, 202);
  const numbers = async (query) => (await lines(query)).map(({ n }) => n);
  assert.deepEqual(await numbers(""), [5, 4, 3, 2, 1]);
  assert.deepEqual(await numbers("?limit=2"), [5, 4]);
  assert.deepEqual(await numbers("?level=error"), [2]);
  assert.deepEqual(await numbers("?route=shop%2Fa"), [3, 1]);
});

test("a bad batch is refused whole", async (t) => {
  const { post, lines } = await running(t);
  assert.match(await problem(await post('{"n":1}\n{"n":\n', "application/x-ndjson"), 400), /^Line 2 is not JSON/);
  assert.deepEqual(await lines(), []);
});

test("a body over the limit is a 413, declared or chunked, at once", async (t) => {
  const { post, url, lines } = await running(t, { SERVICE_NODE_MAX_BODY_BYTES: "1000" });
  const long = `{"a":"${"x".repeat(1000)}"}`;
  assert.match(await problem(await post(long), 413), /longer than 1000 bytes/);

  const chunked = httpRequest(`${url}/logs`, { method: "POST", headers: { "content-type": "application/json" } });
  chunked.on("error", () => {}); // the service closes before all is written; what counts is its answer
  chunked.write(long); // and never the end
  const [response] = await once(chunked, "response");
  assert.deepEqual([response.statusCode, response.headers.connection], [413, "close"]);
  chunked.destroy();

  assert.deepEqual(await lines(), []);
});

test("packed bodies and other types are refused", async (t) => {
  const { post } = await running(t);
  await problem(await post("{}", "application/json", { "content-encoding": "gzip" }), 415);
  await problem(await post("{}", "text/plain"), 415);
});

test("what is kept is bounded", async (t) => {
  const { post, lines, ask } = await running(t, { SERVICE_NODE_MAX_LINES: "10" });
  await post(JSON.stringify(Array.from({ length: 25 }, (_, n) => ({ n }))));
  assert.deepEqual((await lines("?limit=1000")).map(({ n }) => n), [24, 23, 22, 21, 20, 19, 18, 17, 16, 15]);
  const metrics = await (await ask("/metrics")).text();
  assert.match(metrics, /^service_node_log_lines 10$/m);
  assert.match(metrics, /^service_node_log_lines_evicted_total 15$/m);
  assert.match(metrics, /^service_node_log_lines_accepted_total 25$/m);
});

test("queries that mean nothing are refused", async (t) => {
  const { ask } = await running(t);
  for (const query of ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "levle=info", "level=a&level=b"]) {
    await problem(await ask(`/logs?${query}`), 400);
  }
});

test("other paths and methods are problems", async (t) => {
  const { ask } = await running(t);
  await problem(await ask("/nothing"), 404);
  await problem(await ask("/logs/"), 404);
  const refused = await ask("/logs", { method: "DELETE" });
  assert.equal(refused.headers.get("allow"), "GET, HEAD, POST");
  await problem(refused, 405);
  await problem(await ask("/%ff"), 404);
});

test("probes", async (t) => {
  let isStopping = false;
  const { ask } = await running(t, {}, () => isStopping);
  assert.equal((await ask("/healthz")).status, 200);
  assert.equal((await ask("/readyz")).status, 200);
  isStopping = true;
  assert.equal((await ask("/healthz")).status, 200);
  await problem(await ask("/readyz"), 503);
});

test("metrics have labels of fixed sets", async (t) => {
  const { ask } = await running(t);
  await ask("/a");
  await ask("/b", { method: "PROPFIND" });
  const text = await (await ask("/metrics")).text();
  assert.match(text, /^service_node_requests_total\{method="GET",path="unmatched",code="404"\} 1$/m);
  assert.match(text, /^service_node_requests_total\{method="OTHER",path="unmatched",code="404"\} 1$/m);
  assert.match(text, /^service_node_requests_in_flight 1$/m);
  assert.match(text, /^process_cpu_seconds_total /m);
});

test("the log tells of requests, and keeps queries, headers and bodies to itself", async (t) => {
  const { post, ask, logged } = await running(t);
  await post('{"a":"s3cret"}', "application/json", { "x-request-id": "r-1", authorization: "Bearer s3cret" });
  await ask("/logs?level=s3cret");
  await ask("/healthz");
  const requests = logged.filter(({ event }) => event === "request");
  assert.deepEqual(
    requests.map(({ level, request_id, method, path, status }) => [level, request_id, method, path, status]),
    [
      ["info", "r-1", "POST", "/logs", 202],
      ["info", null, "GET", "/logs", 200],
      ["debug", null, "GET", "/healthz", 200],
    ],
  );
  assert.ok(!JSON.stringify(logged).includes("s3cret"));
});
