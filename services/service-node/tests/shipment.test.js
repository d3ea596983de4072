/** What is sent, sent again, and dropped. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Shipment } from "../src/shipment.js";
import { waitUntil } from "./waiting.js";

const QUICK = { collectMs: 1, batchLines: 3, batchBytes: 1000, firstPauseMs: 1, longestPauseMs: 2 };
const WAITING_LONG = { ...QUICK, collectMs: 1e6, firstPauseMs: 1e6, longestPauseMs: 1e6 };

/** A shipment whose service answers what `answers` hold, one after the other, and then 202. An Error is no answer. */
function shipment(answers = [], more = {}) {
  const sent = [];
  const told = [];
  const post = (text) => {
    sent.push(text);
    const answer = answers.shift() ?? 202;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const log = (level, event, fields) => told.push({ level, event, ...fields });
  return { made: new Shipment({ post, log, maxLines: 100, maxBytes: 10_000, limits: QUICK, ...more }), sent, told };
}

test("lines go in batches, in their order", async () => {
  const { made, sent } = shipment();
  for (const line of ["1", "2", "3", "4", "5", "6", "7"]) made.add(line);
  made.end();
  await made.run();
  assert.deepEqual(sent, ["1\n2\n3\n", "4\n5\n6\n", "7\n"]);
  assert.deepEqual([made.shipped, made.dropped, made.waiting], [7, 0, 0]);
});

test("a batch is bounded by bytes, and one line is always a batch", async () => {
  const { made, sent } = shipment([], { limits: { ...QUICK, batchBytes: 5 } });
  for (const line of ["12", "34", "a long line", "5"]) made.add(line);
  made.end();
  await made.run();
  assert.deepEqual(sent, ["12\n", "34\n", "a long line\n", "5\n"]);
});

test("a full batch waits for nothing", async () => {
  const { made, sent } = shipment([], { limits: WAITING_LONG });
  const run = made.run();
  for (const line of ["1", "2", "3"]) made.add(line);
  await waitUntil(() => sent.length === 1, "it is sent before a collecting time of 1000 s");
  made.end();
  await run;
});

for (const [name, failure] of [
  ["no answer", new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } })],
  ["503", 503],
  ["429", 429],
]) {
  test(`after ${name} the same batch is sent again`, async () => {
    const { made, sent, told } = shipment([failure, failure]);
    made.add("1");
    made.end();
    await made.run();
    assert.deepEqual(sent, ["1\n", "1\n", "1\n"]);
    assert.deepEqual([made.shipped, made.dropped], [1, 0]);
    assert.deepEqual(
      told.map(({ event }) => event),
      ["not_shipped", "not_shipped"],
    );
  });
}

test("what is refused for good is dropped, counted and told; the next batch goes", async () => {
  const { made, told } = shipment([400]);
  for (const line of ["1", "2", "3", "4"]) made.add(line);
  made.end();
  await made.run();
  assert.deepEqual([made.shipped, made.dropped], [1, 3]);
  assert.deepEqual(told, [{ level: "error", event: "refused", status: 400, lines: 3 }]);
});

test("while nothing can be sent, lines beyond the bound are dropped, and cause no further try", async () => {
  const { made, sent } = shipment([503], { maxLines: 5, limits: WAITING_LONG });
  const run = made.run();
  for (let i = 0; i < 3; i += 1) made.add("x");
  await waitUntil(() => sent.length === 1, "the first try");
  for (let i = 0; i < 1000; i += 1) made.add("x");
  assert.deepEqual([made.waiting, made.dropped, sent.length], [5, 998, 1]);
  made.cancel();
  await run;
  assert.deepEqual([made.shipped, made.dropped, sent.length], [0, 1003, 1]);
});

test("lines are bounded by bytes too, and make room when they are sent", async () => {
  const { made } = shipment([], { maxBytes: 12 });
  assert.deepEqual(
    ["12345", "12345", "1"].map((line) => made.add(line)),
    [true, true, false],
  );
  const run = made.run();
  await waitUntil(() => made.shipped === 2, "they are sent");
  assert.equal(made.add("12345678901"), true);
  made.end();
  await run;
  assert.deepEqual([made.shipped, made.dropped], [3, 1]);
});
