/** The target of a request line, in any form (RFC 9112, 3.2). Pure: no URL is parsed, so no target is invalid. */

// `GET http://gateway:8080/logs`, which servers must accept; the authority is ignored.
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]+/i;

/** The target in origin form: it begins with a slash. A target without a path (`*`, `http:///logs`) becomes an unknown path. */
export function originForm(target) {
  const rest = target.replace(ABSOLUTE_FORM, "");
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** The parameters of a target. */
export function parametersOf(target) {
  const at = target.indexOf("?");
  return new URLSearchParams(at === -1 ? "" : target.slice(at + 1).split("#", 1)[0]);
}
