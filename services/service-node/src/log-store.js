/** The latest log lines, bounded by number and by bytes. The oldest are evicted. */

/** Approximate bytes of a stored line in addition to its text: the object, two short strings, its map entry. */
export const OVERHEAD_BYTES = 256;

export class LogStore {
  #maxLines;
  #maxBytes;
  // By number, from #oldest to #newest - 1: a Map deletes at its beginning in constant time, an array does not.
  #lines = new Map();
  #oldest = 0;
  #newest = 0;

  /** Bytes kept: UTF-8 text, and OVERHEAD_BYTES for each line. */
  bytes = 0;
  /** Number of evicted lines. */
  evicted = 0;

  constructor(maxLines, maxBytes) {
    this.#maxLines = maxLines;
    this.#maxBytes = maxBytes;
  }

  /** Number of stored lines. */
  get count() {
    return this.#newest - this.#oldest;
  }

  /** Store a line. A line larger than the whole store is evicted at once, with all others. */
  add(line) {
    this.#lines.set(this.#newest, line);
    this.#newest += 1;
    this.bytes += line.bytes + OVERHEAD_BYTES;
    while (this.count > this.#maxLines || this.bytes > this.#maxBytes) this.#forget();
  }

  #forget() {
    this.bytes -= this.#lines.get(this.#oldest).bytes + OVERHEAD_BYTES;
    this.#lines.delete(this.#oldest);
    this.#oldest += 1;
    this.evicted += 1;
  }

  /**
   * `{lines, bytes, truncated}`: at most `limit` lines, the newest first, and their text together.
   *
   * `level`, `route`: only lines with this value; undefined = any. `truncated`: there are more within `limit`, and all of them
   * would exceed `maxBytes`. The newest is always included.
   */
  latest({ limit, level, route }, maxBytes) {
    const lines = [];
    let bytes = 0;
    for (let number = this.#newest - 1; number >= this.#oldest && lines.length < limit; number -= 1) {
      const line = this.#lines.get(number);
      if ((level !== undefined && line.level !== level) || (route !== undefined && line.route !== route)) continue;
      if (lines.length > 0 && bytes + line.bytes > maxBytes) return { lines, bytes, truncated: true };
      lines.push(line);
      bytes += line.bytes;
    }
    return { lines, bytes, truncated: false };
  }
}
