/**
 * Logs are JSON, one object per line: {time, level, event, ...}.
 *
 * JSON.stringify escapes control characters, so no request can forge a line.
 */

export const LEVELS = ["debug", "info", "warning", "error"];

/** A log of `level` and above on `stream`. */
export function logger(level, stream = process.stdout) {
  const least = LEVELS.indexOf(level);

  /** Log `event`, a short fixed word, with JSON-ready `fields`: never bodies, query strings or credentials. */
  return function write(eventLevel, event, fields = {}) {
    if (LEVELS.indexOf(eventLevel) < least) return;
    stream.write(JSON.stringify({ time: new Date().toISOString(), level: eventLevel, event, ...fields }) + "\n");
  };
}
