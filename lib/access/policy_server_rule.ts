/**
 * What stands behind check_policy_service: `inet:host:port`, `unix:path`, or either in braces with settings of its own,
 * `{ inet:host:port, timeout=10s, default_action=DUNNO }`.
 *
 * @module
 */
// Utility
import { parseDuration, splitList } from "../config/values.ts";
import { parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { BraceError, splitBraced, unbrace } from "../table/braces.ts";
import { parseTarget, type ServerTarget } from "../table/server_target.ts";
// Access
import type { AccessSettings } from "./policy.ts";

/** A server and how it is asked; times in seconds. */
export interface PolicyServerRule {
  readonly target: ServerTarget;
  readonly defaultAction: string;
  readonly maxIdle: number;
  readonly maxTtl: number;
  readonly policyContext: string;
  readonly requestLimit: number;
  readonly retryDelay: number;
  readonly timeout: number;
  readonly tryLimit: number;
}

/** A rule, or what is wrong with it. */
export type ParsedPolicyServer =
  | { readonly kind: "rule"; readonly rule: PolicyServerRule }
  | { readonly kind: "bad"; readonly why: string };

/** The settings that a rule has unless it says otherwise. */
export type PolicySettings = Pick<
  AccessSettings,
  Extract<keyof AccessSettings, `smtpd_policy_service_${string}`>
>;

const TIMES: Readonly<Record<string, "maxIdle" | "maxTtl" | "retryDelay" | "timeout">> = {
  max_idle: "maxIdle",
  max_ttl: "maxTtl",
  retry_delay: "retryDelay",
  timeout: "timeout",
};
const NUMBERS: Readonly<Record<string, "requestLimit" | "tryLimit">> = {
  request_limit: "requestLimit",
  try_limit: "tryLimit",
};
const TEXTS: Readonly<Record<string, "defaultAction" | "policyContext">> = {
  default_action: "defaultAction",
  policy_context: "policyContext",
};

/**
 * Reads a rule.
 *
 * @param queueDirectory where the path of a socket begins that does not begin at the root
 */
export function parsePolicyServer(
  text: string,
  settings: PolicySettings,
  queueDirectory: string,
): ParsedPolicyServer {
  try {
    const items = text.startsWith("{") ? splitBraced(unbrace(text)).map((item) => item.text) : [text];
    const target = parseServer(items[0] ?? "", queueDirectory);
    if (target === undefined) {
      return bad(`"${printable(items[0] ?? "")}" is no server (inet:HOST:PORT or unix:PATH)`);
    }
    return withOptions({ target, ...defaultsOf(settings) }, items.slice(1));
  } catch (error) {
    if (error instanceof BraceError) return bad(error.message);
    throw error;
  }
}

function bad(why: string): ParsedPolicyServer {
  return { kind: "bad", why };
}

function parseServer(text: string, queueDirectory: string): ServerTarget | undefined {
  const isSocket = text.startsWith("unix:") && !text.startsWith("unix:/");
  return parseTarget(isSocket ? `unix:${queueDirectory}/${text.slice("unix:".length)}` : text, undefined);
}

function defaultsOf(settings: PolicySettings): Omit<PolicyServerRule, "target"> {
  return {
    defaultAction: settings.smtpd_policy_service_default_action,
    maxIdle: settings.smtpd_policy_service_max_idle,
    maxTtl: settings.smtpd_policy_service_max_ttl,
    policyContext: settings.smtpd_policy_service_policy_context,
    requestLimit: settings.smtpd_policy_service_request_limit,
    retryDelay: settings.smtpd_policy_service_retry_delay,
    timeout: settings.smtpd_policy_service_timeout,
    tryLimit: settings.smtpd_policy_service_try_limit,
  };
}

function withOptions(rule: PolicyServerRule, options: readonly string[]): ParsedPolicyServer {
  const changed: Record<string, unknown> = {};
  for (const option of options) {
    const equals = option.indexOf("=");
    const name = trimBlanks(option.slice(0, Math.max(0, equals)));
    const value = trimBlanks(option.slice(equals + 1));
    const known = TIMES[name] ?? NUMBERS[name] ?? TEXTS[name];
    if (known === undefined) return bad(`unknown setting "${printable(option)}" of a policy server`);
    const read = name in TIMES ? parseDuration(value) : name in NUMBERS ? parseDecimal(value) : value;
    if (read === undefined || (read === 0 && name !== "request_limit")) {
      return bad(`bad value of "${name}": "${printable(value)}"`);
    }
    changed[known] = read;
  }
  return { kind: "rule", rule: { ...rule, ...changed } };
}

/** What stands behind check_policy_service in lists, those in braces included. */
export function policyServers(items: readonly string[]): string[] {
  const found: string[] = [];
  for (const [i, item] of items.entries()) {
    if (items[i - 1] === "check_policy_service") found.push(item);
    else if (item.startsWith("{") && item.endsWith("}")) {
      found.push(...policyServers(splitList(item.slice(1, -1)) ?? []));
    }
  }
  return found;
}
