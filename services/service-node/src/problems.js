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

/** What body-parser and the router found wrong, in our words. */
function ofLibrary(error, maxBodyBytes) {
  if (error.type === "entity.too.large") return [413, `The body is longer than ${maxBodyBytes} bytes.`];
  if (error.type === "encoding.unsupported") return [415, "The Content-Encoding must be gzip, deflate, br or identity."];
  if (error.type === "request.aborted") return [400, "The body ended early."];
  if (error.type === "request.size.invalid") return [400, "The body is not as long as Content-Length says."];
  if (error instanceof URIError) return [400, "The path holds a % that begins no escape."];
  // A compressed body that cannot be unpacked comes as a plain 400 with zlib's words.
  if (error.status >= 400 && error.status < 500) return [error.status, "The request cannot be read."];
  return undefined;
}

/** Express's last middleware: errors as problems, those nobody foresaw as a 500 and in the log. */
export function onError(log, maxBodyBytes) {
  return function handle(error, _request, response, next) {
    if (response.headersSent) return next(error);
    if (error instanceof Problem) return answer(response, error.status, error.message, error.headers);
    const known = ofLibrary(error, maxBodyBytes);
    if (known !== undefined) return answer(response, ...known);
    log("error", "failed", { exception: error.stack });
    return answer(response, 500, "The service failed.");
  };
}
