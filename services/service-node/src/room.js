/** A shared limit on the bytes held at once by one kind of object, such as all bodies being read. */

import { Problem } from "./problems.js";

export class Room {
  #free;
  #what;

  /** `what`: the objects that fill it, as named in the problem. */
  constructor(bytes, what) {
    this.#free = bytes;
    this.#what = what;
  }

  /** The result of `work` (may be async), with `bytes` held until it is done; a Problem at once if there is no room. */
  async hold(bytes, work) {
    // Unread bytes of a body would be parsed as the next request.
    if (bytes > this.#free) {
      throw new Problem(503, `Too many ${this.#what} at once.`, { "retry-after": "1", connection: "close" });
    }
    this.#free -= bytes;
    try {
      return await work();
    } finally {
      this.#free += bytes;
    }
  }
}
