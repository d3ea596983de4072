// A steady load: 200 requests per second for ten minutes.

import { constant } from "./lib/constant.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";

export { setup } from "./lib/sending.js";
export const options = constant({ rate: 200, duration: "10m" });
export default (run) => send(run);
export const handleSummary = handleSummaryOf("steady");
