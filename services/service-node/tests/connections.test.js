/** One request at a time on each connection, and for how long. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { inTurn } from "../src/connections.js";
import { rawStatus, unread } from "./sockets.js";
import { waitUntil } from "./waiting.js";

const get = (path, headers = "") => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`;

/** A server that answers when the test does: its port, and the requests that `handle` got. */
async function running(t, timeoutMs = 60_000) {
  const got = [];
  const server = createServer(inTurn((request, response) => got.push({ request, response }), timeoutMs)).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: server.address().port, got };
}

test("requests of one connection are handled one after the other, those of others meanwhile", async (t) => {
  const { port, got } = await running(t);
  const answer = rawStatus(port, get("/a") + get("/b") + get("/c", "connection: close\r\n"));
  await waitUntil(() => got.length === 1, "the first is handled");
  await unread(t, port, get("/other"));
  const urls = () => got.map(({ request }) => request.url);
  await waitUntil(() => got.length === 2, "the other connection's is handled");
  assert.deepEqual(urls(), ["/a", "/other"]);
  got[0].response.end("1st.");
  await waitUntil(() => got.length === 3, "the second is handled");
  got[2].response.end("2nd.");
  await waitUntil(() => got.length === 4, "the third is handled");
  got[3].response.end("3rd.");
  assert.deepEqual(urls(), ["/a", "/other", "/b", "/c"]);
  assert.deepEqual((await answer).text.match(/\d(st|nd|rd)\./g), ["1st.", "2nd.", "3rd."]);
});

test("a connection with more requests waiting than anybody needs is cut", async (t) => {
  const { port, got } = await running(t);
  const most = await unread(t, port, get("/most").repeat(16));
  await waitUntil(() => got.length === 1, "the first of them is handled");
  const { text } = await rawStatus(port, get("/more").repeat(17));
  assert.equal(text, "");
  assert.ok(!most.closed);
});

test("what waits behind an answer that closes the connection is not handled", async (t) => {
  const { port, got } = await running(t);
  const answer = rawStatus(port, get("/a") + get("/b"));
  await waitUntil(() => got.length === 1, "the first is handled");
  got[0].response.setHeader("connection", "close").end("bye");
  assert.equal((await answer).status, 200);
  assert.equal(got.length, 1);
});

test("a request that is not answered in time is cut, one that is answered is not", async (t) => {
  const { port, got } = await running(t, 100);
  const answered = await unread(t, port, get("/answered"));
  await waitUntil(() => got.length === 1, "it is handled");
  got[0].response.end();
  await rawStatus(port, get("/never"));
  assert.deepEqual(got.map(({ request }) => request.url), ["/answered", "/never"]);
  assert.ok(!got[0].request.socket.destroyed && !answered.closed);
});
