/** Accepted log lines, and the problems of all others. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { logLines } from "../src/log-lines.js";

const NDJSON = "application/x-ndjson";
const JSON_TYPE = "application/json";
const LIMITS = { maxLineBytes: 1000, maxBatchLines: 10 };
const texts = (body, type, limits = LIMITS) => logLines(Buffer.from(body), type, limits).map((line) => line.text);
const many = (text, count, separator) => Array(count).fill(text).join(separator);

test("one object, an array and lines are the same lines", () => {
  assert.deepEqual(texts('{"a": 1}', JSON_TYPE), ['{"a":1}']);
  assert.deepEqual(texts('[{"a": 1}, {"b": 2}]', JSON_TYPE), ['{"a":1}', '{"b":2}']);
  assert.deepEqual(texts('{"a": 1}\r\n\n{"b": 2}', NDJSON), ['{"a":1}', '{"b":2}']);
});

test("level and route are what GET filters by, when they are text", () => {
  const [line] = logLines(Buffer.from('{"level":"info","route":"shop/a"}'), JSON_TYPE, LIMITS);
  assert.deepEqual([line.level, line.route, line.bytes], ["info", "shop/a", 33]);
  const [other] = logLines(Buffer.from('{"level":3,"__proto__":{"route":"x"}}'), JSON_TYPE, LIMITS);
  assert.deepEqual([other.level, other.route], [undefined, undefined]);
});

for (const [name, body, type, status, detail] of [
  ["no JSON", "{bad", JSON_TYPE, 400, /^The body is not JSON: .+/],
  ["a line that is none", '{}\n{"a": tru}', NDJSON, 400, /^Line 2 is not JSON: /],
  ["an item that is none", "[{}, 3]", JSON_TYPE, 400, /^Item 1 of the array is not a JSON object/],
  ["null", "null", JSON_TYPE, 400, /^The body is not a JSON object/],
  ["text", '"text"', JSON_TYPE, 400, /^The body is not a JSON object/],
  ["arrays within arrays", "[[]]", JSON_TYPE, 400, /^Item 0 of the array is not a JSON object/],
  ["an empty array", "[]", JSON_TYPE, 400, /holds no log line/],
  ["nothing but line breaks", "\n\r\n", NDJSON, 400, /holds no log line/],
  ["an empty body", "", JSON_TYPE, 400, /^The body is not JSON: /],
  ["a long line", `{"a":"${"x".repeat(1000)}"}`, JSON_TYPE, 400, /has 1008 bytes; a line may have 1000/],
  ["an array of too many", `[${many("{}", 11, ",")}]`, JSON_TYPE, 413, /^The body has 11 lines; a batch may have 10/],
  ["too many lines", many("{}", 11, "\n"), NDJSON, 413, /^The body has 11 lines; a batch may have 10/],
  ["too many lines with nothing on them", "\n".repeat(11), NDJSON, 413, /^The body has 11 lines/],
  ["line breaks behind backslashes", `"${"\\\n".repeat(11)}`, NDJSON, 413, /^The body has 11 lines/],
  ["a line of too many values", `{"a":[${many("[]", 1000, ",")}]}`, JSON_TYPE, 413, /2001 JSON values; a batch may have 1000/],
  ["lines of too many values", many(`{"a":[${many("1", 200, ",")}]}`, 5, "\n"), NDJSON, 413, /1005 JSON values/],
  ["a form", "a=b", "application/x-www-form-urlencoded", 415, /^The Content-Type must be one of application\/json/],
  ["no type", "{}", "", 415, /^The Content-Type must be/],
]) {
  test(`${name} is refused with ${status}`, () => {
    assert.throws(() => texts(body, type), { status, message: detail });
  });
}

test("what is not UTF-8 is refused", () => {
  assert.throws(() => logLines(Buffer.from([0x7b, 0xff, 0x7d]), JSON_TYPE, LIMITS), { message: /not UTF-8/ });
});

test("a line nested beyond the stack is refused, not fatal", () => {
  const deep = `{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
  assert.throws(() => texts(deep, JSON_TYPE, { maxLineBytes: 1e9, maxBatchLines: 100_000 }), { status: 400, message: /nested too deeply/ });
});

test("as many lines as a batch may have are taken, whatever their texts hold", () => {
  const item = JSON.stringify({ text: '",[{\\'.repeat(90), after: 1 });
  assert.equal(texts(`[${many(item, 10, ",")}]`, JSON_TYPE).length, 10);
  assert.equal(texts(many(item, 10, "\n"), NDJSON).length, 10);
  assert.equal(texts(`${many(item, 10, "\n")}\n`, NDJSON).length, 10);
});

test("a message quotes nothing of the body", () => {
  for (const body of ['{"token": s3cret}', '{"a": 1} s3cret', '{"s3cret', '{"a": "s3cret\n"}', "s3cret"]) {
    assert.throws(
      () => texts(body, JSON_TYPE),
      (error) => error.status === 400 && !error.message.includes("3cret"),
    );
  }
});
