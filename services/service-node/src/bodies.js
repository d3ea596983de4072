/** Bounds the request body, declared or not, before anything holds it in memory. */

import rawBody from "raw-body";

import { Problem } from "./problems.js";

/** How many bytes a request's body may come to hold: what it declares, as far as that is taken. */
export function bodyRoom(request, maxBytes) {
  return Math.min(Number(request.get("content-length") ?? maxBytes), maxBytes);
}

/**
 * The whole body as a Buffer, empty when there is none; a Problem when there is more than `maxBytes` of it.
 *
 * Not express.raw: it reads what is too long to its end, however long that takes, before anybody is told.
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
