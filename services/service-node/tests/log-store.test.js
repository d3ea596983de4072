/** The store forgets the oldest, by number and by bytes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { LogStore, OVERHEAD_BYTES } from "../src/log-store.js";

const line = (text, level, route) => ({ text, bytes: Buffer.byteLength(text), level, route });
const kept = (store, query = {}) => store.latest({ limit: 1000, ...query }, 1e6).lines.map(({ text }) => text);

test("by number", () => {
  const store = new LogStore(3, 1e6);
  for (const text of ["a", "b", "c", "d", "e"]) store.add(line(text));
  assert.deepEqual(kept(store), ["e", "d", "c"]);
  assert.deepEqual([store.count, store.bytes, store.evicted], [3, 3 * (1 + OVERHEAD_BYTES), 2]);
});

test("by bytes", () => {
  const store = new LogStore(1000, 2 * OVERHEAD_BYTES + 10);
  for (const text of ["aaaaa", "bbbbb", "cccccc"]) store.add(line(text));
  assert.deepEqual(kept(store), ["cccccc"]);
  assert.equal(store.bytes, OVERHEAD_BYTES + 6);
  store.add(line("d".repeat(2 * OVERHEAD_BYTES)));
  assert.deepEqual([kept(store), store.bytes, store.count, store.evicted], [[], 0, 0, 4]);
});

test("the bounds hold over many lines", () => {
  const store = new LogStore(100, 100 * (OVERHEAD_BYTES + 5));
  for (let i = 0; i < 100_000; i += 1) store.add(line("x".repeat(i % 11)));
  assert.ok(store.count <= 100 && store.bytes <= 100 * (OVERHEAD_BYTES + 5));
  assert.equal(store.count + store.evicted, 100_000);
});

test("the latest, of a level, of a route", () => {
  const store = new LogStore(10, 1e6);
  store.add(line("1", "info", "a"));
  store.add(line("2", "error", "a"));
  store.add(line("3", "error", "b"));
  store.add(line("4"));
  assert.deepEqual(kept(store, { limit: 2 }), ["4", "3"]);
  assert.deepEqual(kept(store, { level: "error" }), ["3", "2"]);
  assert.deepEqual(kept(store, { level: "error", route: "a" }), ["2"]);
  assert.deepEqual(kept(store, { route: "c" }), []);
});

test("no more bytes than are asked for, but the newest whatever it has", () => {
  const store = new LogStore(10, 1e6);
  for (const text of ["1234", "123", "12", "1"]) store.add(line(text, text === "12" ? "error" : "info"));
  const latest = (maxBytes, query) => {
    const { lines, bytes, truncated } = store.latest({ limit: 10, ...query }, maxBytes);
    return [lines.map(({ text }) => text.length), bytes, truncated];
  };
  assert.deepEqual(latest(10), [[1, 2, 3, 4], 10, false]);
  assert.deepEqual(latest(9), [[1, 2, 3], 6, true]);
  assert.deepEqual(latest(6, { limit: 3 }), [[1, 2, 3], 6, false]);
  assert.deepEqual(latest(2, { level: "error" }), [[2], 2, false]);
  assert.deepEqual(latest(1, { level: "error" }), [[2], 2, false]);
  assert.deepEqual(latest(0), [[1], 1, true]);
});
