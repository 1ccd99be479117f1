/**
 * Where a daemon may connect for its policy servers: the endpoint of each that its restriction lists name.
 *
 * @module
 */
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { RESTRICTION_PARAMETERS } from "../config/check_restrictions.ts";
import type { ParameterName } from "../config/parameters.ts";
import { errorAt, type Problem } from "../config/problem.ts";
// Tables
import { targetText } from "../table/server_target.ts";
// Access
import { parsePolicyServer, policyServers, type PolicySettings } from "../access/policy_server_rule.ts";
// Server skeleton
import type { Grant } from "./sandbox.ts";

/** Parameters that may name policy servers. */
const PARAMETERS = [
  ...RESTRICTION_PARAMETERS,
  "smtpd_restriction_classes",
] as const satisfies readonly ParameterName[];

const SETTINGS = [
  "queue_directory",
  "smtpd_policy_service_default_action",
  "smtpd_policy_service_max_idle",
  "smtpd_policy_service_max_ttl",
  "smtpd_policy_service_policy_context",
  "smtpd_policy_service_request_limit",
  "smtpd_policy_service_retry_delay",
  "smtpd_policy_service_timeout",
  "smtpd_policy_service_try_limit",
] as const satisfies readonly ParameterName[];

/** The grants for the policy servers of a service. What is no server gets none: `check` says what is wrong with it. */
export function policyGrants(configuration: Configuration, entry: ServiceEntry): Grant[] {
  return serversOf(configuration, entry).flatMap(({ name, parsed }): Grant[] => {
    if (parsed.kind === "bad") return [];
    const { target } = parsed.rule;
    const because = `${name} (${configuration.origin(name)})`;
    const net: Grant = { kind: "net", object: targetText(target), because };
    if (target.kind === "inet") return [net];
    // Connecting to a unix socket takes three grants on its exact path.
    const { path } = target;
    return [net, { kind: "read", object: path, because }, { kind: "write", object: path, because }];
  });
}

/** What is wrong with the policy servers that smtpd's lists name. */
export function findPolicyProblems(configuration: Configuration): Problem[] {
  const entries = configuration.services.filter(({ command }) => command === "smtpd");
  const found = entries.flatMap((entry) =>
    serversOf(configuration, entry).flatMap(({ name, parsed }) => {
      if (parsed.kind !== "bad") return [];
      const place = configuration.scopeOf(entry).setting(name) ?? entry.place;
      return [errorAt(place, `"${name}": ${parsed.why}`)];
    })
  );
  // Several services may share the faulty line.
  return found.filter((one, i) =>
    found.findIndex((other) => other.text === one.text && other.line === one.line) === i
  );
}

function serversOf(configuration: Configuration, entry: ServiceEntry) {
  const settings = settingsFor(configuration, entry, SETTINGS);
  return PARAMETERS.flatMap((name) => {
    const items = settingsFor(configuration, entry, [name])[name];
    return policyServers(items).map((text) => {
      return {
        name,
        parsed: parsePolicyServer(text, settings satisfies PolicySettings, settings.queue_directory),
      };
    });
  });
}
