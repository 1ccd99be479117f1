/**
 * What the configuration says of filters: `inet:host:port`, `unix:/path`, or either in braces with settings that are
 * this filter's own, as `{ inet:localhost:8891, default_action=accept }`.
 *
 * @module
 */
// Utility
import { equalsIgnoreCase, parseDecimal, splitBlanks, trimBlanks } from "../vstring/ascii.ts";
import { parseDuration } from "../config/values.ts";
// Internal protocols
import type { MapOutcome } from "../proto/proxymap_client.ts";
// Tables
import { BraceError, splitBraced } from "../table/braces.ts";
import { parseTarget, type ServerTarget } from "../table/server_target.ts";

/** What is done when a filter fails. */
export const DEFAULT_ACTIONS = ["accept", "reject", "tempfail", "quarantine", "shutdown"] as const;
export type DefaultAction = (typeof DEFAULT_ACTIONS)[number];

/** Most filters in one list. */
export const MILTER_LIMIT = 20;

/** What smtpd_milter_maps has for clients without filters. */
export const MILTER_OFF = "DISABLE";

/** What names a filter of our own kind. */
const OWN_FILTER = "filter:";

/** How the protocol is spoken. */
export interface MilterProtocol {
  readonly version: 2 | 3 | 4 | 6;
  /** The filter does not answer each header, and cannot say so. */
  readonly muteHeaders: boolean;
}

/** Where a filter listens: at an endpoint, or it is a service of ours. */
export type MilterTarget = ServerTarget | { readonly kind: "service"; readonly name: string };

/** One filter. */
export interface MilterRule {
  /** The endpoint as the configuration names it, for the log. */
  readonly name: string;
  readonly target: MilterTarget;
  /** Milliseconds each. */
  readonly connectTimeout: number;
  readonly commandTimeout: number;
  readonly contentTimeout: number;
  readonly defaultAction: DefaultAction;
  readonly protocol: MilterProtocol;
}

/** What holds for filters that have no setting of their own: the values of the parameters. Durations in seconds. */
export interface MilterSettings {
  readonly milter_command_timeout: number;
  readonly milter_connect_timeout: number;
  readonly milter_content_timeout: number;
  readonly milter_default_action: string;
  readonly milter_protocol: string;
}

/** The names of the parameters of `MilterSettings`. */
export const MILTER_SETTINGS = [
  "milter_command_timeout",
  "milter_connect_timeout",
  "milter_content_timeout",
  "milter_default_action",
  "milter_protocol",
] as const;

/** Thrown for a list that names no filters. */
export class MilterRuleError extends Error {
  override name = "MilterRuleError";
}

/** The filters of a list. Throws a MilterRuleError. */
export function parseMilters(items: readonly string[], settings: MilterSettings): MilterRule[] {
  if (items.length > MILTER_LIMIT) throw new MilterRuleError(`more than ${MILTER_LIMIT} filters`);
  const defaults: MilterRule = {
    name: "",
    target: { kind: "unix", path: "" },
    connectTimeout: settings.milter_connect_timeout * 1000,
    commandTimeout: settings.milter_command_timeout * 1000,
    contentTimeout: settings.milter_content_timeout * 1000,
    defaultAction: parseAction(settings.milter_default_action),
    protocol: parseMilterProtocol(settings.milter_protocol),
  };
  return items.map((item) => parseMilter(item, defaults));
}

/** The filters in a text, as a table of smtpd_milter_maps has it. Throws a MilterRuleError. */
export function parseMilterText(text: string, settings: MilterSettings): MilterRule[] {
  return parseMilters(split(text).map(({ text, braced }) => braced ? `{${text}}` : text), settings);
}

/**
 * The filters of an SMTP client.
 *
 * @param found what smtpd_milter_maps has for its address
 * @param usual those of smtpd_milters: for a client that the table does not have, and where what it has cannot be used
 * @param warn is told why it cannot
 */
export function clientMilters(
  found: MapOutcome,
  usual: readonly MilterRule[],
  settings: MilterSettings,
  warn: (text: string) => void,
): readonly MilterRule[] {
  if (found.kind === "missing") return usual;
  if (found.kind === "found" && equalsIgnoreCase(found.value, MILTER_OFF)) return [];
  try {
    if (found.kind === "found") return parseMilterText(found.value, settings);
    warn(found.why);
  } catch (error) {
    if (!(error instanceof MilterRuleError)) throw error;
    warn(error.message);
  }
  return usual;
}

/** The endpoints of a list, for the grants of who connects to them. Throws a MilterRuleError. */
export function milterTargets(text: string): MilterTarget[] {
  return split(text).map((item) => {
    const first = item.braced ? split(item.text)[0]?.text ?? "" : item.text;
    return endpoint(first);
  });
}

function split(text: string): ReturnType<typeof splitBraced> {
  try {
    return splitBraced(text);
  } catch (error) {
    if (!(error instanceof BraceError)) throw error;
    throw new MilterRuleError(error.message);
  }
}

function parseMilter(item: string, defaults: MilterRule): MilterRule {
  const [only] = split(item);
  const words = only?.braced === true ? split(only.text) : [{ text: item, braced: false }];
  const [name, ...own] = words.map((word) => word.text);
  if (name === undefined) throw new MilterRuleError(`empty milter definition: "${item}"`);
  let rule: MilterRule = { ...defaults, name, target: endpoint(name) };
  for (const setting of own) rule = { ...rule, ...parseSetting(setting) };
  return rule;
}

/** `local:` is another word for `unix:`; `filter:` names a service of master.toml. */
function endpoint(name: string): MilterTarget {
  if (name.startsWith(OWN_FILTER) && name.length > OWN_FILTER.length) {
    return { kind: "service", name: name.slice(OWN_FILTER.length) };
  }
  const text = name.startsWith("local:") ? `unix:${name.slice("local:".length)}` : name;
  const known = text.startsWith("unix:") || text.startsWith("inet:");
  const target = known ? parseTarget(text, undefined) : undefined;
  if (target !== undefined) return target;
  throw new MilterRuleError(`"${name}" is neither "inet:host:port" nor "unix:/path" nor "filter:SERVICE"`);
}

/** `name=value`; a value with blanks stands in braces together with its name. */
function parseSetting(text: string): Partial<MilterRule> {
  const equals = text.indexOf("=");
  const name = trimBlanks(text.slice(0, Math.max(0, equals)));
  const value = trimBlanks(text.slice(equals + 1));
  switch (name) {
    case "connect_timeout":
      return { connectTimeout: parseTimeout(name, value) };
    case "command_timeout":
      return { commandTimeout: parseTimeout(name, value) };
    case "content_timeout":
      return { contentTimeout: parseTimeout(name, value) };
    case "default_action":
      return { defaultAction: parseAction(value) };
    case "protocol":
      return { protocol: parseMilterProtocol(value) };
    default:
      throw new MilterRuleError(`unexpected setting "${text}"`);
  }
}

function parseTimeout(name: string, value: string): number {
  const seconds = parseDuration(value);
  if (seconds === undefined || seconds < 1) throw new MilterRuleError(`bad ${name} "${value}"`);
  return seconds * 1000;
}

function parseAction(text: string): DefaultAction {
  const action = DEFAULT_ACTIONS.find((one) => one === text);
  if (action === undefined) throw new MilterRuleError(`unrecognized default action: ${text}`);
  return action;
}

/** Reads milter_protocol: a version, and "no_header_reply" for a filter that does not answer headers. */
export function parseMilterProtocol(text: string): MilterProtocol {
  const words = splitBlanks(text, true);
  const versions = words.map((word) => parseDecimal(word, 6)).filter((number) => number !== undefined);
  const version = ([2, 3, 4, 6] as const).find((one) => one === versions[0]);
  const others = words.filter((word) => word !== "no_header_reply");
  if (version === undefined || others.length !== 1) {
    throw new MilterRuleError(`bad protocol information: "${text}"`);
  }
  return { version, muteHeaders: others.length < words.length };
}
