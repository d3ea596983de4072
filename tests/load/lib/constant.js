// A script with a constant rate of arrivals: its options.

import { options, users } from "./demands.js";
import { number, rate as readRate, seconds, text } from "./parameters.js";

export function constant({ rate, duration, limited = `rate<${number("LIMITED_SHARE", 0.02)}` }) {
  const given = readRate("RATE", rate);
  const length = text("DURATION", duration);
  return options({
    scenario: { executor: "constant-arrival-rate", rate: given, timeUnit: "1s", duration: length, ...users(given) },
    limited,
    planned: given * seconds(length),
  });
}
