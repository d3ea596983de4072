/** Stops a server in order: answers requests in flight, closes all other connections at once. */

export class Stopping {
  #server;
  // The pending answers of each open connection.
  #connections = new Map();

  isStopping = false;

  /** `server`: an http.Server that is not listening yet. */
  constructor(server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#connections.set(socket, new Set());
      socket.once("close", () => this.#connections.delete(socket));
    });
    // Before the application's own listener, because that may answer at once.
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
   * Resolves when every connection is closed, to the number of those cut after `timeoutSeconds`.
   *
   * Node's own close() leaves connections open that have not sent a request.
   */
  async stop(timeoutSeconds) {
    this.isStopping = true;
    let cut = 0;
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    for (const [socket, waiting] of this.#connections) {
      if (waiting.size === 0) socket.destroySoon();
      // The answer has `Connection: close`, so that the client sends nothing more.
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
