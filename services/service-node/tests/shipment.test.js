/** Lines that are sent, sent again, and dropped. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Shipment } from "../src/shipment.js";
import { waitUntil } from "./waiting.js";

const QUICK = { collectMs: 1, batchLines: 3, batchBytes: 1000, firstPauseMs: 1, longestPauseMs: 2 };
const WAITING_LONG = { ...QUICK, collectMs: 1e6, firstPauseMs: 1e6, longestPauseMs: 1e6 };

/** A shipment whose service gives these `answers`, one after the other, and then 202. An Error means no answer. */
function shipment(answers = [], more = {}) {
  const sent = [];
  const logged = [];
  const post = (text) => {
    sent.push(text);
    const answer = answers.shift() ?? 202;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const log = (level, event, fields) => logged.push({ level, event, ...fields });
  return { queue: new Shipment({ post, log, maxLines: 100, maxBytes: 10_000, limits: QUICK, ...more }), sent, logged };
}

test("lines go in batches, in their order", async () => {
  const { queue, sent } = shipment();
  for (const line of ["1", "2", "3", "4", "5", "6", "7"]) queue.add(line);
  queue.end();
  await queue.run();
  assert.deepEqual(sent, ["1\n2\n3\n", "4\n5\n6\n", "7\n"]);
  assert.deepEqual([queue.shipped, queue.dropped, queue.waiting], [7, 0, 0]);
});

test("a batch is bounded by bytes, and one line is always a batch", async () => {
  const { queue, sent } = shipment([], { limits: { ...QUICK, batchBytes: 5 } });
  for (const line of ["12", "34", "a long line", "5"]) queue.add(line);
  queue.end();
  await queue.run();
  assert.deepEqual(sent, ["12\n", "34\n", "a long line\n", "5\n"]);
});

test("a full batch waits for nothing", async () => {
  const { queue, sent } = shipment([], { limits: WAITING_LONG });
  const run = queue.run();
  for (const line of ["1", "2", "3"]) queue.add(line);
  await waitUntil(() => sent.length === 1, "it is sent before a collecting time of 1000 s");
  queue.end();
  await run;
});

for (const [name, failure] of [
  ["no answer", new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } })],
  ["503", 503],
  ["429", 429],
]) {
  test(`after ${name} the same batch is sent again`, async () => {
    const { queue, sent, logged } = shipment([failure, failure]);
    queue.add("1");
    queue.end();
    await queue.run();
    assert.deepEqual(sent, ["1\n", "1\n", "1\n"]);
    assert.deepEqual([queue.shipped, queue.dropped], [1, 0]);
    assert.deepEqual(
      logged.map(({ event }) => event),
      ["not_shipped", "not_shipped"],
    );
  });
}

test("a permanently rejected batch is dropped, counted and logged; the next batch is sent", async () => {
  const { queue, logged } = shipment([400]);
  for (const line of ["1", "2", "3", "4"]) queue.add(line);
  queue.end();
  await queue.run();
  assert.deepEqual([queue.shipped, queue.dropped], [1, 3]);
  assert.deepEqual(logged, [{ level: "error", event: "refused", status: 400, lines: 3 }]);
});

test("while nothing can be sent, lines beyond the bound are dropped, and cause no further try", async () => {
  const { queue, sent } = shipment([503], { maxLines: 5, limits: WAITING_LONG });
  const run = queue.run();
  for (let i = 0; i < 3; i += 1) queue.add("x");
  await waitUntil(() => sent.length === 1, "the first try");
  for (let i = 0; i < 1000; i += 1) queue.add("x");
  assert.deepEqual([queue.waiting, queue.dropped, sent.length], [5, 998, 1]);
  queue.cancel();
  await run;
  assert.deepEqual([queue.shipped, queue.dropped, sent.length], [0, 1003, 1]);
});

test("lines are bounded by bytes too, and make room when they are sent", async () => {
  const { queue } = shipment([], { maxBytes: 12 });
  assert.deepEqual(
    ["12345", "12345", "1"].map((line) => queue.add(line)),
    [true, true, false],
  );
  const run = queue.run();
  await waitUntil(() => queue.shipped === 2, "they are sent");
  assert.equal(queue.add("12345678901"), true);
  queue.end();
  await run;
  assert.deepEqual([queue.shipped, queue.dropped], [3, 1]);
});
