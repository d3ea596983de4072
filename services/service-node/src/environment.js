/** Reads settings from environment variables, and tells every mistake at once. */

/** A setting is missing or wrong. The message has one mistake a line, each with the variable's name. */
export class SettingsError extends Error {}

// Kubernetes tells every pod about every Service of its namespace by environment variables. For one called
// service-node it sets SERVICE_NODE_PORT=tcp://10.96.0.7:3000, which is our name for something else.
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/** One pass over an environment: ask for each setting, then `finish`. */
export class Environment {
  #variables;
  #prefix;
  #mistakes = [];

  /** `variables`: such as process.env. `prefix`: of every name, such as SERVICE_NODE_. */
  constructor(variables, prefix) {
    this.#variables = variables;
    this.#prefix = prefix;
  }

  /** What is set, or undefined; an empty value is none. */
  #given(name) {
    const value = this.#variables[this.#prefix + name];
    return value === "" ? undefined : value;
  }

  #wrong(name, problem, value) {
    this.#mistakes.push(`${this.#prefix}${name}: ${problem}`);
    return value;
  }

  /** A whole number from `least` to `most`. */
  integer(name, standard, { least, most }) {
    const text = this.#given(name);
    if (text === undefined || SERVICE_LINK.test(text)) return standard;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    return this.#wrong(name, `must be a whole number from ${least} to ${most}`, standard);
  }

  /** One of a few words. */
  choice(name, standard, words) {
    const text = this.#given(name) ?? standard;
    return words.includes(text) ? text : this.#wrong(name, `must be one of ${words.join(", ")}`, standard);
  }

  /** A host name or an address to listen on. */
  host(name, standard) {
    const text = this.#given(name) ?? standard;
    return /^[\w.:-]+$/.test(text) ? text : this.#wrong(name, "must be a host name or an address", standard);
  }

  /** An http or https URL that has to be given. The value is not quoted in mistakes: it may hold a password. */
  url(name) {
    const text = this.#given(name);
    if (text === undefined) return this.#wrong(name, "must be set, such as http://127.0.0.1:3000/logs");
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
      return this.#wrong(name, "must be an http:// or https:// URL");
    }
    // fetch takes none, and a password in an environment variable is seen by everybody on the machine.
    return url.username || url.password ? this.#wrong(name, "must not hold a user or a password") : url;
  }

  /** `values`, unless one of them was wrong: then a SettingsError. */
  finish(values) {
    if (this.#mistakes.length > 0) throw new SettingsError(this.#mistakes.join("\n"));
    return Object.freeze(values);
  }
}
