/** Lines out of pieces of any size. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { LineSplitter } from "../src/line-splitter.js";

function split(text, size, most = 100) {
  const splitter = new LineSplitter(most);
  const bytes = Buffer.from(text);
  const completed = [];
  for (let at = 0; at < bytes.length; at += size) completed.push(...splitter.lines(bytes.subarray(at, at + size)));
  return { completed, rest: splitter.rest(), tooLong: splitter.tooLong };
}

for (const size of [1, 2, 3, 7, 1000]) {
  test(`in pieces of ${size} bytes`, () => {
    assert.deepEqual(split("ab\n\ncöd\nrest", size), { completed: ["ab", "cöd"], rest: ["rest"], tooLong: 0 });
    assert.deepEqual(split("a\n", size), { completed: ["a"], rest: [], tooLong: 0 });
    const long = "x".repeat(11);
    const fits = "y".repeat(10);
    assert.deepEqual(split(`${long}\n${fits}\n${long}${long}\nb\n${long}`, size, 10), { completed: [fits, "b"], rest: [], tooLong: 3 });
  });
}
