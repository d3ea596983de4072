// Everything from one address: the limit for each address has to refuse some of it, in the way it should.

import { constant } from "./lib/constant.js";
import { send } from "./lib/sending.js";
import { handleSummaryOf } from "./lib/summary.js";
import { LONE_ADDRESS } from "./lib/traffic.js";

export { setup } from "./lib/sending.js";
// The default policy lets an address have 20 a second in each pod: 120 are too many for up to five pods.
export const options = constant({ rate: 120, duration: "20s", limited: "rate>0.05" });
export default (run) => send(run, LONE_ADDRESS);
export const handleSummary = handleSummaryOf("single_address");
