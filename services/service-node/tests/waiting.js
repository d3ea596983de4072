/** Waiting for a condition, with a deadline, instead of sleeping for a fixed time. */

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

const DEADLINE_MS = 10_000;

/** Resolves to the result of `condition` (may be async) as soon as it is truthy; fails with `what` after the deadline. */
export async function waitUntil(condition, what) {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(performance.now() < end, `not within ${DEADLINE_MS} ms: ${what}`);
    await pause(5);
  }
}
