/** Reads settings from environment variables, and reports all errors at once. */

/** A setting is missing or invalid. The message has one line per error, each with the variable's name. */
export class SettingsError extends Error {}

// Kubernetes sets environment variables in every pod for every Service of its namespace. For a Service called
// service-node it sets SERVICE_NODE_PORT=tcp://10.96.0.7:3000, which is also the name of a setting.
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/** One pass over an environment: read each setting, then `finish`. */
export class Environment {
  #variables;
  #prefix;
  #mistakes = [];

  /** `variables`: such as process.env. `prefix`: of every name, such as SERVICE_NODE_. */
  constructor(variables, prefix) {
    this.#variables = variables;
    this.#prefix = prefix;
  }

  /** The value of a variable, or undefined; an empty value counts as undefined. */
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

  /** A required http or https URL. Messages do not quote the value, because it may contain a password. */
  url(name) {
    const text = this.#given(name);
    if (text === undefined) return this.#wrong(name, "must be set, such as http://127.0.0.1:3000/logs");
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
      return this.#wrong(name, "must be an http:// or https:// URL");
    }
    // fetch does not accept them, and all users of the machine can read a password in an environment variable.
    return url.username || url.password ? this.#wrong(name, "must not hold a user or a password") : url;
  }

  /** Returns `values`. Throws a SettingsError if one of them was invalid. */
  finish(values) {
    if (this.#mistakes.length > 0) throw new SettingsError(this.#mistakes.join("\n"));
    return Object.freeze(values);
  }
}
