/**
 * Restriction lists, looked at before anything starts: every word is a restriction, and those that need a table
 * have one.
 *
 * @module
 */
import { didYouMean } from "./nearest.ts";
import type { ParameterName } from "./parameters.ts";
import { errorAt, type Place, type Problem, warningAt } from "./problem.ts";
import {
  findRestriction,
  isTableWord,
  RESTRICTION_NAMES,
  RESTRICTIONS,
  WARN_PREFIX,
} from "./restriction_names.ts";

/** The parameters that hold restriction lists. */
export const RESTRICTION_PARAMETERS = [
  "smtpd_client_restrictions",
  "smtpd_data_restrictions",
  "smtpd_end_of_data_restrictions",
  "smtpd_etrn_restrictions",
  "smtpd_helo_restrictions",
  "smtpd_recipient_restrictions",
  "smtpd_relay_restrictions",
  "smtpd_sender_restrictions",
] as const satisfies readonly ParameterName[];

/** The parameters that refuse mail, each by itself or by the restrictions that it holds. */
export const RULE_PARAMETERS = [
  ...RESTRICTION_PARAMETERS,
  "smtpd_reject_unlisted_recipient",
  "smtpd_reject_unlisted_sender",
] as const satisfies readonly ParameterName[];

/** What local_header_rewrite_clients may hold, beside tables. */
const REWRITE_CLIENTS: readonly string[] = [
  "permit_inet_interfaces",
  "permit_mynetworks",
  "permit_sasl_authenticated",
  "check_address_map",
];

/** Reports the words of local_header_rewrite_clients that the SMTP server would not understand. */
export function checkRewriteClients(items: readonly string[], place: Place): Problem[] {
  const name = "local_header_rewrite_clients";
  return items.flatMap((word, i) => {
    if (word.includes(":")) return [];
    if (!REWRITE_CLIENTS.includes(word)) {
      return [errorAt(place, `"${name}": "${word}" is not supported`, didYouMean(word, REWRITE_CLIENTS))];
    }
    const lacks = word === "check_address_map" && !items[i + 1]?.includes(":");
    return lacks ? [errorAt(place, `"${name}": "${word}" needs a table behind it`)] : [];
  });
}

/** Restrictions that always decide: nothing behind them is asked. */
const FINAL: readonly string[] = ["permit", "reject", "defer"];

/** Lists in which a table by itself stands for nothing, as they are about no name. */
const WITHOUT_TABLES: readonly string[] = ["smtpd_data_restrictions", "smtpd_end_of_data_restrictions"];

/** What restrictions need behind them, in words. */
const ARGUMENTS = {
  table: "a table",
  domain: "a domain name",
  server: "a server (inet:HOST:PORT or unix:PATH)",
  number: "a number of seconds",
} as const;

/** The first word behind one that always decides, with that one; undefined when every word may count. */
function unreachable(items: readonly string[]): readonly [string, string] | undefined {
  const at = items.findIndex((word, i) => FINAL.includes(word) && items[i - 1] !== WARN_PREFIX);
  const next = items[at + 1];
  return at < 0 || next === undefined ? undefined : [items[at]!, next];
}

/** What is wrong with the word behind a restriction that needs one. */
function argumentProblem(kind: keyof typeof ARGUMENTS, word: string | undefined): boolean {
  if (word === undefined) return true;
  switch (kind) {
    case "table":
      return !word.includes(":");
    case "server":
      return !/^(\{[ \t]*)?(inet|unix):./.test(word);
    case "number":
      return !/^[0-9]+$/.test(word);
    case "domain":
      return findRestriction(word) !== undefined || word.includes(":");
  }
}

/**
 * Reports the words of one list that the SMTP server would not understand, and those that it never comes to.
 *
 * @param classes names of the restriction classes that there are
 */
export function checkRestrictionList(
  parameter: string,
  items: readonly string[],
  place: Place,
  classes: ReadonlySet<string> = new Set(),
): Problem[] {
  const problems: Problem[] = [];
  for (let i = 0; i < items.length; i++) {
    const word = items[i]!;
    if (word === WARN_PREFIX || classes.has(word)) continue;
    if (isTableWord(word)) {
      if (!WITHOUT_TABLES.includes(parameter)) continue;
      const cure = "name what is looked up, as check_sender_access";
      problems.push(errorAt(place, `"${parameter}": "${word}" stands for nothing here`, cure));
      continue;
    }
    const name = findRestriction(word);
    const kind = name === undefined ? "none" : RESTRICTIONS[name];
    if (name === undefined) {
      const text = `"${parameter}": unknown restriction "${word}"`;
      problems.push(errorAt(place, text, didYouMean(word, [...RESTRICTION_NAMES, WARN_PREFIX, ...classes])));
    } else if (kind !== "none") {
      if (argumentProblem(kind, items[i + 1])) {
        problems.push(errorAt(place, `"${parameter}": "${word}" needs ${ARGUMENTS[kind]} behind it`));
      } else i++;
    }
  }
  const lost = unreachable(items);
  if (lost !== undefined) {
    const text = `"${parameter}": "${lost[1]}" is never asked, as "${lost[0]}" in front of it always decides`;
    problems.push(warningAt(place, text, "change their order, or leave it out"));
  }
  return problems;
}
