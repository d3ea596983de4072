// All requests from one address: the limit per address must reject some of them correctly.

import { constant } from "./lib/constant.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";
import { LONE_ADDRESS } from "./lib/traffic.js";

export { setup } from "./lib/sending.js";
// The default policy allows an address 20 a second in each pod, so 120 exceed the limit with up to five pods.
export const options = constant({ rate: 120, duration: "20s", limited: "rate>0.05" });
export default (run) => send(run, LONE_ADDRESS);
export const handleSummary = handleSummaryOf("single_address");
