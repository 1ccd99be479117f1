/**
 * smtpd_expansion_filter: which characters of what a client sent may stand in a reply that a template makes.
 */

/** The characters that a filter allows, its escapes read: `\t`, `\40` (octal), `\\`. */
function allowed(filter: string): ReadonlySet<string> {
  const out = new Set<string>();
  for (let at = 0; at < filter.length; at++) {
    if (filter[at] !== "\\") {
      out.add(filter[at]!);
      continue;
    }
    let end = at + 1;
    while (end < at + 4 && filter[end]! >= "0" && filter[end]! <= "7") end++;
    if (end > at + 1) out.add(String.fromCharCode(parseInt(filter.slice(at + 1, end), 8)));
    else out.add(filter[at + 1] === "t" ? "\t" : filter[at + 1] ?? "\\");
    at = Math.max(end - 1, at + 1);
  }
  return out;
}

/** The text with every character that the filter does not allow replaced by `_`. */
export function censor(text: string, filter: string): string {
  const set = allowed(filter);
  let out = "";
  for (const character of text) out += set.has(character) ? character : "_";
  return out;
}
