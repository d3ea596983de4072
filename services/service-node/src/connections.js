/** Bounds what a connection may cost: how much it waits for, and for how long. And tells of those there was no room for. */

// Whoever sends requests without waiting for answers. Each costs some kilobytes, and a packet holds a thousand of them.
const MAX_UNANSWERED = 16;
// How often refused connections are told while it goes on.
const TELL_MS = 10_000;

/**
 * A request listener: `handle`, one request at a time on each connection, so that one reader holds one answer.
 *
 * A connection is cut when an answer is not taken within `timeoutMs` of the request's turn.
 */
export function inTurn(handle, timeoutMs) {
  const unanswered = new WeakMap(); // of each connection, in order

  function answerFirst(socket, queue) {
    const { request, response } = queue[0];
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    response.once("close", () => {
      clearTimeout(timer);
      queue.shift();
      // A response has a socket once it is its turn; none after one that closed the connection.
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
export function tellRefused(server, log) {
  let refused = 0;
  let toldAt = -Infinity;
  server.on("drop", () => {
    refused += 1;
    if (performance.now() - toldAt < TELL_MS) return;
    log("warning", "connections_refused", { refused, max_connections: server.maxConnections });
    refused = 0;
    toldAt = performance.now();
  });
}
