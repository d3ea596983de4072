/** Bounds the request body, with or without a Content-Length, before it is in memory. */

import rawBody from "raw-body";

import { Problem } from "./problems.js";

/** The most bytes that a request's body may have: its declared length, or the limit if that is lower. */
export function bodyRoom(request, maxBytes) {
  return Math.min(Number(request.get("content-length") ?? maxBytes), maxBytes);
}

/**
 * The whole body as a Buffer, empty without a body; a Problem if it is longer than `maxBytes`.
 *
 * express.raw is not used: it reads a too long body to its end before it reports the error.
 */
export async function body(request, maxBytes) {
  if ((request.get("content-encoding") ?? "identity").toLowerCase() !== "identity") {
    throw new Problem(415, "The body must have no Content-Encoding.", { "accept-encoding": "identity" });
  }
  try {
    return await rawBody(request, { length: request.get("content-length"), limit: maxBytes });
  } catch (error) {
    // The rest of the body stays unread, so nothing more can come on this connection.
    const closing = { connection: "close" };
    if (error.type === "entity.too.large") throw new Problem(413, `The body is longer than ${maxBytes} bytes.`, closing);
    if (error.type === "request.aborted") throw new Problem(400, "The body ended early.", closing);
    throw error;
  }
}
