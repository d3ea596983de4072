/** Splits a stream of bytes into lines, with a bound on their length. */

const NEWLINE = 0x0a;

export class LineSplitter {
  #maxBytes;
  #pieces = [];
  #bytes = 0;
  #isTooLong = false;

  /** How many lines were longer than `maxBytes`, and are left out. */
  tooLong = 0;

  constructor(maxBytes) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that a chunk (a Buffer) completes: strings without their line break. */
  lines(chunk) {
    const found = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      this.#end(found);
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
    return found;
  }

  /** What is left at the end of the stream: no line, or one. */
  rest() {
    const found = [];
    this.#end(found);
    return found;
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

  #end(found) {
    if (this.#isTooLong) this.tooLong += 1;
    else if (this.#bytes > 0) found.push(Buffer.concat(this.#pieces).toString("utf8"));
    this.#pieces = [];
    this.#bytes = 0;
    this.#isTooLong = false;
  }
}
