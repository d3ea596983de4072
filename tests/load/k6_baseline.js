// The baseline: 150 requests per second for two minutes.

import { constant } from "./lib/constant.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";

export { setup } from "./lib/sending.js";
export const options = constant({ rate: 150, duration: "2m" });
export default (run) => send(run);
export const handleSummary = handleSummaryOf("k6_baseline");
