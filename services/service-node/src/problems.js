/** Each answer that is not a 2xx is `application/problem+json` (RFC 9457): {type, title, status, detail}. */

import { STATUS_CODES } from "node:http";

export const MEDIA_TYPE = "application/problem+json";

/** An error thrown by a handler and sent as the answer. */
export class Problem extends Error {
  /** `detail` names the error and its fix; it quotes nothing of the request. */
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

/** Express's last middleware: answers errors as problems, unexpected ones as a 500, which are also logged. */
export function onError(log) {
  return function handle(error, _request, response, next) {
    if (response.headersSent) return next(error);
    if (error instanceof Problem) return answer(response, error.status, error.message, error.headers);
    // Express's own error: a path with a % that does not begin an escape.
    if (error.status >= 400 && error.status < 500) return answer(response, error.status, "The request cannot be read.");
    log("error", "failed", { exception: error.stack });
    return answer(response, 500, "The service failed.");
  };
}
