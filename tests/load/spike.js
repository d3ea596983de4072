// A fifth of RATE, then RATE within five seconds and for DURATION, then a fifth again. CALM is the length of the calm before
// and after.

import { options as optionsOf, users } from "./lib/demands.js";
import { number, rate, seconds, text } from "./lib/parameters.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";

// The default policy allows all addresses together 150 a second in each pod, so a peak of 250 needs two pods.
const peak = rate("RATE", 250);
const calm = Math.ceil(peak / 5);
const duration = text("DURATION", "30s");
const around = text("CALM", "30s");
const EDGE = 5;

export { setup } from "./lib/sending.js";
export const options = optionsOf({
  scenario: {
    executor: "ramping-arrival-rate",
    startRate: calm,
    timeUnit: "1s",
    stages: [
      { target: calm, duration: around },
      { target: peak, duration: `${EDGE}s` },
      { target: peak, duration },
      { target: calm, duration: `${EDGE}s` },
      { target: calm, duration: around },
    ],
    ...users(peak),
  },
  limited: `rate<${number("LIMITED_SHARE", 0.02)}`,
  planned: 2 * calm * seconds(around) + (calm + peak) * EDGE + peak * seconds(duration),
});
export default (run) => send(run);
export const handleSummary = handleSummaryOf("spike");
