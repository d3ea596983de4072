/** Parses the bodies of POST /logs into log lines, or a Problem. Pure. */

import { Problem } from "./problems.js";

const UTF_8 = new TextDecoder("utf-8", { fatal: true });
const NDJSON = ["application/x-ndjson", "application/ndjson"];
const JSON_TYPE = "application/json";
// The most fields and items per line of a batch, on average: parsed, each takes many times its bytes.
const VALUES_PER_LINE = 100;

/** Media types accepted by /logs. */
export const MEDIA_TYPES = [JSON_TYPE, ...NDJSON];

/**
 * A stored line: its canonical text, and the values that GET filters by.
 *
 * `level` and `route` are undefined if absent or not a string.
 */
function line(value, where, maxLineBytes) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Problem(400, `${where} is not a JSON object, such as {"level": "info", "event": "request"}.`);
  }
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // JSON.parse accepts any depth, JSON.stringify does not.
    if (error instanceof RangeError) throw new Problem(400, `${where} is nested too deeply.`);
    throw error;
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxLineBytes) throw new Problem(400, `${where} has ${bytes} bytes; a line may have ${maxLineBytes}.`);
  return { text, bytes, level: textField(value, "level"), route: textField(value, "route") };
}

function textField(value, name) {
  return Object.hasOwn(value, name) && typeof value[name] === "string" ? value[name] : undefined;
}

function parse(text, where) {
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8 quotes the text around an error, which may contain anything. The message up to the quote is enough.
    throw new Problem(400, `${where} is not JSON: ${error.message.replace(/, (?:\.\.\.)?".*$/s, "")}.`);
  }
}

function decode(body) {
  try {
    return UTF_8.decode(body);
  } catch {
    throw new Problem(400, "The body is not UTF-8.");
  }
}

const [NEWLINE, QUOTE, COMMA, OPEN_ARRAY, BACKSLASH, OPEN_OBJECT] = Buffer.from('\n",[\\{');

/**
 * The approximate number of values in a body, and of line breaks. Not parsed: that may take fifty times its bytes.
 *
 * A value is the first one of an object or an array, or follows a comma.
 */
function size(body) {
  let values = 0;
  let breaks = 0;
  let isText = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === NEWLINE) {
      breaks += 1;
      isText = false; // no JSON string contains a line break; otherwise it is an error of that line
    } else if (byte === QUOTE) isText = !isText;
    else if (isText) at += byte === BACKSLASH && body[at + 1] !== NEWLINE ? 1 : 0;
    else if (byte === COMMA || byte === OPEN_ARRAY || byte === OPEN_OBJECT) values += 1;
  }
  return { values, breaks };
}

function refuseMany(lines, most) {
  if (lines > most) throw new Problem(413, `The body has ${lines} lines; a batch may have ${most}.`);
}

function ofNdjson(text, maxLineBytes) {
  const lines = [];
  for (const [index, piece] of text.split("\n").entries()) {
    if (piece.trim() === "") continue;
    const where = `Line ${index + 1}`;
    lines.push(line(parse(piece, where), where, maxLineBytes));
  }
  return lines;
}

function ofJson(text, maxLineBytes, maxBatchLines) {
  const value = parse(text, "The body");
  if (!Array.isArray(value)) return [line(value, "The body", maxLineBytes)];
  refuseMany(value.length, maxBatchLines);
  return value.map((item, index) => line(item, `Item ${index} of the array`, maxLineBytes));
}

/**
 * The lines of a body: one JSON object, an array of them, or one on each line.
 *
 * All lines, or a Problem that names the invalid one: half a batch would be sent again and stored twice.
 */
export function logLines(body, mediaType, { maxLineBytes, maxBatchLines }) {
  if (!MEDIA_TYPES.includes(mediaType)) {
    throw new Problem(415, `The Content-Type must be one of ${MEDIA_TYPES.join(", ")}.`, { accept: MEDIA_TYPES.join(", ") });
  }
  const { values, breaks } = size(body);
  const maxValues = maxBatchLines * VALUES_PER_LINE;
  if (values > maxValues) throw new Problem(413, `The body has ${values} JSON values; a batch may have ${maxValues}.`);
  const isNdjson = NDJSON.includes(mediaType);
  if (isNdjson) refuseMany(body.at(-1) === NEWLINE ? breaks : breaks + 1, maxBatchLines);
  const text = decode(body);
  const lines = isNdjson ? ofNdjson(text, maxLineBytes) : ofJson(text, maxLineBytes, maxBatchLines);
  if (lines.length === 0) throw new Problem(400, "The body holds no log line.");
  return lines;
}
