/**
 * How a refusal's id and rule stand in the log: written by smtpd, read by `postern explain --reply`.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Access
import type { Refusal, Rule } from "./policy.ts";

/** Digits and letters that cannot be mistaken for one another, and make no words. */
const ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
/** Length of an id: among a million refusals two have the same in about one case of two million. */
const LENGTH = 8;
/** What the id stands behind in the log. */
const MARK = " reply=";
/** Longest rule in the log, UTF-16 units. */
const RULE_LIMIT = 500;

/** An id for one refusal. It is for people who compare a reply with a log, and no secret. */
export function makeReplyId(): string {
  let id = "";
  for (let i = 0; i < LENGTH; i++) id += ALPHABET[Math.floor(Math.random() * ALPHABET.length)];
  return id;
}

/** True for a text that is such an id. */
export function isReplyId(text: string): boolean {
  return text.length === LENGTH && [...text].every((character) => ALPHABET.includes(character));
}

/** The id behind a reply's text. */
export function idText(id: string): string {
  return ` [${id}]`;
}

/** What stands behind Postfix's line: ` reply=ID rule="TEXT" in=PARAMETER at=FILE:LINE entry=FILE:LINE`. */
export function ruleText(id: string, { rule, entry }: Refusal): string {
  let text = `${MARK}${id}`;
  if (rule === undefined) return text;
  text += ` rule="${printable(rule.text, RULE_LIMIT)}" in=${printable(listOf(rule))} at=${
    printable(rule.place)
  }`;
  if (entry !== undefined && entry.place !== "") text += ` entry=${printable(entry.place)}`;
  return text;
}

/** The parameter from which the rule was come to. */
function listOf(rule: Rule): string {
  let outer = rule;
  while (outer.within !== undefined) outer = outer.within;
  return outer.parameter;
}

/** What stands behind a refusal in the log; empty where nothing does. */
export interface ReadRule {
  readonly id: string;
  readonly rule: string;
  readonly parameter: string;
  readonly place: string;
  readonly entry: string;
}

/** Reads what `ruleText` wrote at the end of a line; undefined when it is no such line. */
export function readRule(line: string): ReadRule | undefined {
  const start = line.lastIndexOf(MARK);
  const id = line.slice(start + MARK.length, start + MARK.length + LENGTH);
  const rest = line.slice(start + MARK.length + LENGTH);
  if (start < 0 || !isReplyId(id)) return undefined;
  const none = { id, rule: "", parameter: "", place: "", entry: "" };
  if (!rest.startsWith(' rule="')) return rest === "" ? none : undefined;
  // The rule is what may hold anything; what stands behind it may not.
  const close = rest.lastIndexOf('" in=');
  const at = rest.indexOf(" at=", close);
  if (close < 0 || at < 0) return undefined;
  const entry = rest.indexOf(" entry=", at);
  return {
    id,
    rule: rest.slice(' rule="'.length, close),
    parameter: rest.slice(close + '" in='.length, at),
    place: rest.slice(at + " at=".length, entry < 0 ? undefined : entry),
    entry: entry < 0 ? "" : rest.slice(entry + " entry=".length),
  };
}
