/** Bounds the cost of a connection: its waiting requests, and their time. Logs connections refused for lack of room. */

// Requests sent without waiting for answers. Each costs some kilobytes, and a packet contains up to a thousand.
const MAX_UNANSWERED = 16;
// Shortest time between two log lines about refused connections.
const LOG_INTERVAL_MS = 10_000;

/**
 * A request listener: calls `handle` for one request at a time on each connection, so a reader holds one answer.
 *
 * A connection is cut if the client does not read an answer within `timeoutMs` of the request's turn.
 */
export function inTurn(handle, timeoutMs) {
  const unanswered = new WeakMap(); // of each connection, in order

  function answerFirst(socket, queue) {
    const { request, response } = queue[0];
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    response.once("close", () => {
      clearTimeout(timer);
      queue.shift();
      // A response has a socket once it is its turn, and no socket after a response that closed the connection.
      if (queue[0]?.response.socket) answerFirst(socket, queue);
    });
    handle(request, response);
  }

  return function take(request, response) {
    const { socket } = request;
    if (!unanswered.has(socket)) unanswered.set(socket, []);
    const queue = unanswered.get(socket);
    queue.push({ request, response });
    if (queue.length > MAX_UNANSWERED) socket.destroy();
    else if (queue.length === 1) answerFirst(socket, queue);
  };
}

/** Log connections that `server` refused for its `maxConnections`: the first at once, then their number from time to time. */
export function logRefused(server, log) {
  let refused = 0;
  let loggedAt = -Infinity;
  server.on("drop", () => {
    refused += 1;
    if (performance.now() - loggedAt < LOG_INTERVAL_MS) return;
    log("warning", "connections_refused", { refused, max_connections: server.maxConnections });
    refused = 0;
    loggedAt = performance.now();
  });
}
