/** The parameters of GET /logs. Pure. */

import { Problem } from "./problems.js";

export const MAX_LIMIT = 1000;
const STANDARD_LIMIT = 100;
const PARAMETERS = ["limit", "level", "route"];

/** `{limit, level, route}` of a query's parameters (URLSearchParams); a Problem if one is unknown, invalid or repeated. */
export function logQuery(parameters) {
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) throw new Problem(400, `Parameters are ${PARAMETERS.join(", ")}, and no others.`);
    if (parameters.getAll(name).length > 1) throw new Problem(400, `The parameter ${name} is there twice.`);
  }
  const limit = parameters.get("limit") ?? String(STANDARD_LIMIT);
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
    throw new Problem(400, `limit must be a whole number from 1 to ${MAX_LIMIT}.`);
  }
  return {
    limit: Number(limit),
    level: parameters.get("level") ?? undefined,
    route: parameters.get("route") ?? undefined,
  };
}
