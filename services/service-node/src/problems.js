/** Everything that is not a 2xx is `application/problem+json` (RFC 9457): {type, title, status, detail}. */

import { STATUS_CODES } from "node:http";

export const MEDIA_TYPE = "application/problem+json";

/** What a handler throws to have it answered. */
export class Problem extends Error {
  /** `detail` says what is wrong and how to mend it; it quotes nothing that the client sent. */
  constructor(status, detail, headers = {}) {
    super(detail);
    this.status = status;
    this.headers = headers;
  }
}

/** Answer with a problem. */
export function answer(response, status, detail, headers = {}) {
  const document = { type: "about:blank", title: STATUS_CODES[status], status, detail };
  response.status(status).set(headers).type(MEDIA_TYPE).send(JSON.stringify(document));
}

/** Express's last middleware: errors as problems, those nobody foresaw as a 500 and in the log. */
export function onError(log) {
  return function handle(error, _request, response, next) {
    if (response.headersSent) return next(error);
    if (error instanceof Problem) return answer(response, error.status, error.message, error.headers);
    // Express's own: a path with a % that begins no escape.
    if (error.status >= 400 && error.status < 500) return answer(response, error.status, "The request cannot be read.");
    log("error", "failed", { exception: error.stack });
    return answer(response, 500, "The service failed.");
  };
}
