/**
 * Where smtpd's filter before the queue is: from smtpd_proxy_filter to one address, and what is wrong with it.
 *
 * @module
 */
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { errorAt, type Problem } from "../config/problem.ts";
import { parseDecimal } from "../vstring/ascii.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";
// Tables
import { parseTarget, type ServerTarget, targetText } from "../table/server_target.ts";
// Server skeleton
import type { Grant } from "./sandbox.ts";

const NAME = "smtpd_proxy_filter";

/** Reads `host:port`, `:port` or `port`, each with or without `inet:`, or `unix:path`; undefined when it is none. */
export function parseProxyFilter(text: string, queueDirectory: string): ServerTarget | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path === ""
      ? undefined
      : { kind: "unix", path: path[0] === "/" ? path : `${queueDirectory}/${path}` };
  }
  const rest = text.startsWith("inet:") ? text.slice("inet:".length) : text;
  const isPort = parseDecimal(rest, 65535) !== undefined;
  const whole = isPort ? `localhost:${rest}` : rest.startsWith(":") ? `localhost${rest}` : rest;
  const target = parseTarget(whole, undefined);
  if (target?.kind !== "inet") return undefined;
  const host = target.host === "localhost" ? "127.0.0.1" : target.host;
  // A permission names an address: whatever a name resolves to later is another matter.
  return parseIpAddress(host) === undefined ? undefined : { ...target, host };
}

/** The grant for the filter of a service, and no other; the setting becomes the whole of where it is. */
export function proxyGrants(
  configuration: Configuration,
  entry: ServiceEntry,
  settings: Record<string, unknown>,
): Grant[] {
  const own = settingsFor(configuration, entry, [NAME, "queue_directory"]);
  const target = parseProxyFilter(own.smtpd_proxy_filter, own.queue_directory);
  settings[NAME] = target === undefined ? "" : targetText(target);
  if (target === undefined) return [];
  const because = `${NAME} (${configuration.origin(NAME)})`;
  const net: Grant = { kind: "net", object: targetText(target), because };
  if (target.kind === "inet") return [net];
  const { path } = target;
  return [net, { kind: "read", object: path, because }, { kind: "write", object: path, because }];
}

/** Filters that are no address: mail would pass by them. */
export function findProxyProblems(configuration: Configuration): Problem[] {
  const problems = new Map<string, Problem>();
  for (const entry of configuration.services) {
    if (entry.command !== "smtpd") continue;
    const { smtpd_proxy_filter: text, queue_directory } = settingsFor(configuration, entry, [
      NAME,
      "queue_directory",
    ]);
    if (text === "" || parseProxyFilter(text, queue_directory) !== undefined) continue;
    const place = configuration.scopeOf(entry).setting(NAME) ?? entry.place;
    const problem = errorAt(
      place,
      `"${NAME}": "${text}" is no address with a port`,
      "write ADDRESS:PORT with a literal address, or unix:PATH",
    );
    problems.set(`${problem.file} ${problem.line}`, problem);
  }
  return [...problems.values()];
}
