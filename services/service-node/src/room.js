/** How many bytes may be held at once by everything of one kind, such as all bodies that are being read. */

import { Problem } from "./problems.js";

export class Room {
  #free;
  #what;

  /** `what`: those who fill it, as its refusal names them. */
  constructor(bytes, what) {
    this.#free = bytes;
    this.#what = what;
  }

  /** What `work` (may be async) gives, with `bytes` held until it is done; a Problem at once where there is no room. */
  async hold(bytes, work) {
    // What is not read of a body would be taken for the next request.
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
