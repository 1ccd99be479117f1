/**
 * Restriction lists, looked at before anything starts: every word is a restriction, and those that need a table
 * have one.
 *
 * @module
 */
import { didYouMean } from "./nearest.ts";
import type { ParameterName } from "./parameters.ts";
import { errorAt, type Place, type Problem, warningAt } from "./problem.ts";
import { RESTRICTION_NAMES } from "./restriction_names.ts";

/** The parameters that hold restriction lists. */
export const RESTRICTION_PARAMETERS = [
  "smtpd_client_restrictions",
  "smtpd_data_restrictions",
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
] as const satisfies readonly ParameterName[];

/** What stands in front of a restriction and changes what it does. */
const PREFIX = "warn_if_reject";
const NAMES: readonly string[] = [...RESTRICTION_NAMES, PREFIX];

/** What local_header_rewrite_clients may hold, beside tables. */
const REWRITE_CLIENTS: readonly string[] = [
  "permit_inet_interfaces",
  "permit_mynetworks",
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

/** The first word behind one that always decides, with that one; undefined when every word may count. */
function unreachable(items: readonly string[]): readonly [string, string] | undefined {
  const at = items.findIndex((word, i) => FINAL.includes(word) && items[i - 1] !== PREFIX);
  const next = items[at + 1];
  return at < 0 || next === undefined ? undefined : [items[at]!, next];
}

/** Reports the words of one list that the SMTP server would not understand, and those that it never comes to. */
export function checkRestrictionList(parameter: string, items: readonly string[], place: Place): Problem[] {
  const problems: Problem[] = [];
  for (let i = 0; i < items.length; i++) {
    const word = items[i]!;
    // A table by itself, or what follows a restriction that looks into one.
    if (word.includes(":")) continue;
    if (!NAMES.includes(word)) {
      const text = `"${parameter}": unknown restriction "${word}"`;
      problems.push(errorAt(place, text, didYouMean(word, NAMES)));
    } else if (word.startsWith("check_") && !items[i + 1]?.includes(":")) {
      problems.push(errorAt(place, `"${parameter}": "${word}" needs a table behind it`));
    }
  }
  const lost = unreachable(items);
  if (lost !== undefined) {
    const text = `"${parameter}": "${lost[1]}" is never asked, as "${lost[0]}" in front of it always decides`;
    problems.push(warningAt(place, text, "change their order, or leave it out"));
  }
  return problems;
}
