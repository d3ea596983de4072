/** What a request line asks for, whatever form it has (RFC 9112, 3.2). Pure: no URL is parsed, so none can be too odd. */

// `GET http://gateway:8080/logs`, which servers have to take: the authority is none of our business.
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]+/i;

/** The target in origin form: it begins with a slash. What is no path (`*`, `http:///logs`) becomes one that nothing is at. */
export function originForm(target) {
  const rest = target.replace(ABSOLUTE_FORM, "");
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** The parameters of a target. */
export function parametersOf(target) {
  const at = target.indexOf("?");
  return new URLSearchParams(at === -1 ? "" : target.slice(at + 1).split("#", 1)[0]);
}
