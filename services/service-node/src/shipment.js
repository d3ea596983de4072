/**
 * Log lines to be sent to POST /logs: collected, sent in batches, retried, bounded.
 *
 * Never slows down the log's writer: if the service does not answer, the newest lines are dropped and counted.
 */

/** Milliseconds, bytes and numbers; tests use others. */
export const STANDARD = {
  collectMs: 500, // the longest time a line waits for others
  batchLines: 500,
  batchBytes: 512 * 1024, // the service takes 1 MiB
  firstPauseMs: 500, // after a failure; doubled with each one
  longestPauseMs: 10_000,
};

/** Whether a rejection is temporary (RFC 9110): the same batch may be accepted later. */
function isWorthAnotherTry(status) {
  return status === 408 || status === 429 || status >= 500;
}

export class Shipment {
  #post;
  #log;
  #limits;
  #maxLines;
  #maxBytes;
  #waiting = [];
  #bytes = 0;
  #wake = () => {};
  #isCollecting = false;
  #isEnding = false;
  #isCancelled = false;

  shipped = 0;
  dropped = 0;

  /** `post(text)`: sends NDJSON, resolves to the status, rejects without an answer. */
  constructor({ post, log, maxLines, maxBytes, limits = STANDARD }) {
    this.#post = post;
    this.#log = log;
    this.#limits = limits;
    this.#maxLines = maxLines;
    this.#maxBytes = maxBytes;
  }

  /** Number of waiting lines, those being sent included. */
  get waiting() {
    return this.#waiting.length;
  }

  /** Add a line; false if there is no room and it is dropped. */
  add(line) {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#waiting.length >= this.#maxLines || this.#bytes + bytes > this.#maxBytes) {
      this.dropped += 1;
      return false;
    }
    this.#waiting.push({ line, bytes });
    this.#bytes += bytes;
    // Do not end a pause after a failure: that would cause a try for every line.
    if (this.#isCollecting && this.#waiting.length >= this.#limits.batchLines) this.#wake();
    return true;
  }

  /** Send until `end`, then the waiting lines. Resolves when nothing is left, or after `cancel`. */
  async run() {
    const { collectMs, firstPauseMs, longestPauseMs } = this.#limits;
    let pause = firstPauseMs;
    while (!this.#isCancelled && !(this.#isEnding && this.#waiting.length === 0)) {
      if (!this.#isEnding && this.#waiting.length < this.#limits.batchLines) await this.#collect(collectMs);
      if (this.#waiting.length === 0) continue;
      if (await this.#sendBatch()) {
        pause = firstPauseMs;
      } else {
        await this.#rest(pause);
        pause = Math.min(pause * 2, longestPauseMs);
      }
    }
    this.dropped += this.#waiting.length;
    this.#waiting = [];
  }

  /** Add no more lines. */
  end() {
    this.#isEnding = true;
    this.#wake();
  }

  /** Drop the waiting lines. */
  cancel() {
    this.#isCancelled = true;
    this.#wake();
  }

  async #collect(milliseconds) {
    this.#isCollecting = true;
    await this.#rest(milliseconds);
    this.#isCollecting = false;
  }

  /** A pause that `end` and `cancel` end early. */
  async #rest(milliseconds) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }

  /** False if it should be retried. */
  async #sendBatch() {
    const count = this.#batchLength();
    const batch = this.#waiting.slice(0, count);
    let status;
    try {
      status = await this.#post(batch.map(({ line }) => line).join("\n") + "\n");
    } catch (error) {
      this.#log("warning", "not_shipped", { error: error.cause?.code ?? error.name, waiting: this.waiting });
      return false;
    }
    if (isWorthAnotherTry(status)) {
      this.#log("warning", "not_shipped", { status, waiting: this.waiting });
      return false;
    }
    this.#waiting.splice(0, count);
    this.#bytes -= batch.reduce((sum, { bytes }) => sum + bytes, 0);
    if (status < 300) {
      this.shipped += count;
    } else {
      this.dropped += count;
      this.#log("error", "refused", { status, lines: count });
    }
    return true;
  }

  #batchLength() {
    let bytes = 0;
    let count = 0;
    while (count < Math.min(this.#waiting.length, this.#limits.batchLines)) {
      bytes += this.#waiting[count].bytes;
      if (count > 0 && bytes > this.#limits.batchBytes) break;
      count += 1;
    }
    return count;
  }
}
