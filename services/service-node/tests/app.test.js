/** The application over a socket. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { test } from "node:test";

import { createApp } from "../src/app.js";
import { settings } from "../src/settings.js";
import { rawStatus, socketPath, unread } from "./sockets.js";
import { waitUntil } from "./waiting.js";

/** A running application, ended after the test: its client, and its log. If `unixPath` is given, it listens there too. */
async function running(t, variables = {}, isStopping, unixPath) {
  const logged = [];
  const log = (level, event, fields) => logged.push({ level, event, ...fields });
  const app = createApp(settings(variables), log, isStopping);
  async function listening(...address) {
    const server = createServer(app).listen(...address);
    await once(server, "listening");
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return server;
  }
  if (unixPath !== undefined) await listening(unixPath);
  const { port } = (await listening(0, "127.0.0.1")).address();
  const url = `http://127.0.0.1:${port}`;
  const ask = (path, options) => fetch(url + path, options);
  const post = (body, type = "application/json", headers = {}) =>
    ask("/logs", { method: "POST", body, headers: { "content-type": type, ...headers } });
  const lines = async (query = "") => (await (await ask(`/logs${query}`)).json()).lines;
  const inFlight = async () => Number(/^service_node_requests_in_flight (\d+)$/m.exec(await (await ask("/metrics")).text())[1]) - 1;
  return { url, port, ask, post, lines, logged, inFlight };
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
  chunked.on("error", () => {}); // the service closes before all is written; only its answer matters
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

test("an answer is bounded, the newest lines stay, and it says that some are left out", async (t) => {
  const { post, ask } = await running(t, { SERVICE_NODE_MAX_ANSWER_BYTES: "1024" });
  await post(JSON.stringify(Array.from({ length: 10 }, (_, n) => ({ n, text: "x".repeat(300) }))));
  const answer = async (query) => {
    const { lines, truncated } = await (await ask(`/logs${query}`)).json();
    return [lines.map(({ n }) => n), truncated];
  };
  assert.deepEqual(await answer(""), [[9, 8, 7], true]);
  assert.deepEqual(await answer("?limit=2"), [[9, 8], false]);
});

test("a batch of too many lines is a 413 that names the limit", async (t) => {
  const { post, lines } = await running(t);
  const many = Array(1001).fill("{}");
  assert.match(await problem(await post(`[${many.join(",")}]`), 413), /a batch may have 1000/);
  assert.match(await problem(await post(many.join("\n"), "application/x-ndjson"), 413), /a batch may have 1000/);
  assert.match(await problem(await post(`{"a":[${Array(340_000).fill("{}").join(",")}]}`), 413), /may have 100000/);
  assert.deepEqual(await lines(), []);
});

test("bodies that are being read are bounded together", async (t) => {
  const { post, url, inFlight } = await running(t, { SERVICE_NODE_MAX_BODY_BYTES: "64" });
  const headers = { "content-type": "application/json", "content-length": "64" };
  const begun = Array.from({ length: 16 }, () => httpRequest(`${url}/logs`, { method: "POST", headers, agent: false }));
  for (const request of begun) request.flushHeaders();
  await waitUntil(async () => (await inFlight()) === 16, "all are in flight");
  const refused = await post("{}");
  assert.deepEqual([refused.headers.get("retry-after"), refused.headers.get("connection")], ["1", "close"]);
  assert.match(await problem(refused, 503), /Too many bodies/);

  begun[0].on("error", () => {}); // this is its end
  begun[0].destroy();
  await waitUntil(async () => (await inFlight()) === 15, "one is gone");
  assert.equal((await post("{}")).status, 202);
  for (const request of begun.slice(1)) request.end(`{"a":"${"x".repeat(56)}"}`);
  const statuses = begun.slice(1).map(async (request) => (await once(request, "response"))[0].resume().statusCode);
  assert.deepEqual(await Promise.all(statuses), Array(15).fill(202));
});

test("answers that nobody takes are bounded together, and given up with their connections", async (t) => {
  const path = socketPath(t); // its buffers are smaller than an answer
  const { post, ask, inFlight } = await running(t, {}, undefined, path);
  const lines = Array.from({ length: 60 }, () => JSON.stringify({ text: "x".repeat(16_000) })).join("\n");
  for (let i = 0; i < 3; i += 1) assert.equal((await post(lines, "application/x-ndjson")).status, 202);
  const request = "GET /logs?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n";
  const readers = await Promise.all(Array.from({ length: 16 }, () => unread(t, path, request.repeat(3))));
  await waitUntil(async () => (await inFlight()) === 16, "each holds one answer, not three");
  assert.match(await problem(await ask("/logs?limit=1000"), 503), /Too many answers/);
  assert.equal((await ask("/healthz")).status, 200);

  for (const reader of readers) reader.destroy();
  await waitUntil(async () => (await inFlight()) === 0, "all are aborted");
  assert.equal((await ask("/logs?limit=1000")).status, 200);
});

test("a reader that takes nothing is cut", async (t) => {
  const path = socketPath(t);
  const { post, inFlight, logged } = await running(t, { SERVICE_NODE_ANSWER_TIMEOUT_SECONDS: "1" }, undefined, path);
  await post(Array.from({ length: 60 }, () => JSON.stringify({ text: "x".repeat(16_000) })).join("\n"), "application/x-ndjson");
  await unread(t, path, "GET /logs HTTP/1.1\r\nhost: x\r\n\r\n");
  await waitUntil(async () => (await inFlight()) === 1, "it is being answered");
  await waitUntil(async () => (await inFlight()) === 0, "it is cut");
  assert.ok(logged.some(({ method, status }) => method === "GET" && status === 499));
});

for (const [target, status] of [
  ["http://a:99999/logs", 200],
  ["http://a:99999/logs?limit=0", 400],
  ["http://a:99999", 404],
  ["http://x:abc/logs", 200],
  ["HTTP://x/logs?limit=1", 200],
  ["http://[/logs", 200],
  ["http://[::1/logs", 200],
  ["http:///logs", 404],
  ["http://x?limit=1", 404],
  ["http://a%00b/nothing", 404],
  ["http://xn--i\u00f1valid.com/logs", 400],
  ["http://a^b/logs", 400],
  ["//logs", 404],
  ["//a:99999/logs", 404],
  ["/%ff", 404],
  ["/logs%", 404],
  ["/logs#x", 200],
  ["/logs?limit=1#?limit=2", 200],
  ["/logs?%", 400],
  ["/logs?limit=%ff", 400],
  ["/logs?limit=1?", 400],
  ["\\/logs", 400],
  ["*", 404],
  ["javascript:x", 400],
]) {
  test(`the target ${JSON.stringify(target)} is answered with ${status}`, async (t) => {
    const { port, logged } = await running(t);
    const answer = await rawStatus(port, `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    assert.equal(answer.status, status);
    assert.ok(!answer.text.includes("text/html"), "a page of Express's own");
    assert.deepEqual(logged.filter(({ event }) => event !== "request"), []);
  });
}

test("other targets of other methods are no failures either", async (t) => {
  const { port, logged } = await running(t);
  const status = async (line) =>
    (await rawStatus(port, `${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)).status;
  assert.equal(await status("OPTIONS *"), 404);
  assert.equal(await status("DELETE http://a:99999/logs"), 405);
  assert.equal(await status("POST http://a:99999/logs"), 415);
  assert.deepEqual(logged.filter(({ event }) => event !== "request"), []);
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
