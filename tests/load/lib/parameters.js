// The parameters of a run, from environment variables. An invalid value ends the run before its first request.

export function text(name, otherwise) {
  const given = __ENV[name];
  return given === undefined || given === "" ? otherwise : given;
}

export function number(name, otherwise) {
  const given = Number(text(name, otherwise));
  if (!Number.isFinite(given) || given < 0) throw new Error(`${name}=${__ENV[name]}: a number of at least 0 is needed`);
  return given;
}

// Requests per second; k6 accepts whole numbers only.
export function rate(name, otherwise) {
  const given = number(name, otherwise);
  if (!Number.isInteger(given) || given < 1) throw new Error(`${name}=${__ENV[name]}: a whole number of at least 1 is needed`);
  return given;
}

// Seconds of "90s", "10m", "1h30m".
export function seconds(duration) {
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(duration);
  const found = parts === null ? 0 : Number(parts[1] || 0) * 3600 + Number(parts[2] || 0) * 60 + Number(parts[3] || 0);
  if (found === 0) throw new Error(`"${duration}" is not a duration: write 90s, 10m or 1h30m`);
  return found;
}

export const TARGET = text("TARGET", "http://127.0.0.1:8080").replace(/\/+$/, "");
