// A long run of length DURATION, by default an hour.

import { constant } from "./lib/constant.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";

export { setup } from "./lib/sending.js";
export const options = constant({ rate: 150, duration: "1h" });
export default (run) => send(run);
export const handleSummary = handleSummaryOf("soak");
