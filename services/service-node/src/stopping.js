/** Stops a server in order: what is in flight is answered, every other connection is closed at once. */

export class Stopping {
  #server;
  // Of each open connection, the answers that it waits for.
  #connections = new Map();

  isStopping = false;

  /** `server`: an http.Server that does not listen yet. */
  constructor(server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#connections.set(socket, new Set());
      socket.once("close", () => this.#connections.delete(socket));
    });
    // Before the application's own listener, which may answer at once.
    server.prependListener("request", (request, response) => this.#follow(request.socket, response));
  }

  #follow(socket, response) {
    const waiting = this.#connections.get(socket);
    waiting.add(response);
    if (this.isStopping) response.shouldKeepAlive = false;
    response.once("close", () => {
      waiting.delete(response);
      if (this.isStopping && waiting.size === 0) socket.destroySoon();
    });
  }

  /**
   * Resolves when every connection is closed: to how many had to be cut after `timeoutSeconds`.
   *
   * Node's own close() leaves connections open on which no request has come yet.
   */
  async stop(timeoutSeconds) {
    this.isStopping = true;
    let cut = 0;
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    for (const [socket, waiting] of this.#connections) {
      if (waiting.size === 0) socket.destroySoon();
      // The answer says `Connection: close`, so that the client sends nothing more.
      for (const response of waiting) response.shouldKeepAlive = false;
    }
    const timer = setTimeout(() => {
      cut = this.#connections.size;
      for (const socket of this.#connections.keys()) socket.destroy();
    }, timeoutSeconds * 1000);
    await closed;
    clearTimeout(timer);
    return cut;
  }
}
