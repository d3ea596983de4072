/** Splits a stream of bytes into lines, with a bound on their length. */

const NEWLINE = 0x0a;

export class LineSplitter {
  #maxBytes;
  #pieces = [];
  #bytes = 0;
  #isTooLong = false;

  /** Number of lines longer than `maxBytes`, which are dropped. */
  tooLong = 0;

  constructor(maxBytes) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that a chunk (a Buffer) completes: strings without their line break. */
  lines(chunk) {
    const completed = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      this.#end(completed);
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
    return completed;
  }

  /** The rest at the end of the stream: no line, or one. */
  rest() {
    const completed = [];
    this.#end(completed);
    return completed;
  }

  #keep(piece) {
    if (piece.length === 0 || this.#isTooLong) return;
    this.#bytes += piece.length;
    this.#pieces.push(piece);
    if (this.#bytes > this.#maxBytes) {
      this.#isTooLong = true;
      this.#pieces = [];
    }
  }

  #end(completed) {
    if (this.#isTooLong) this.tooLong += 1;
    else if (this.#bytes > 0) completed.push(Buffer.concat(this.#pieces).toString("utf8"));
    this.#pieces = [];
    this.#bytes = 0;
    this.#isTooLong = false;
  }
}
