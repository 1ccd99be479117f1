/**
 * The SASL backend that a daemon may ask: from the configuration to a socket, and what is wrong with it.
 *
 * @module
 */
// Safe primitives
import { readTextFile } from "../safe/file.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
// Wire protocols
import { asksSocket, parseSaslPath, targetText } from "../sasl/sasl_target.ts";
// Server skeleton
import type { Grant } from "./sandbox.ts";
import type { Service } from "./service.ts";

const PARAMETERS = [
  "smtpd_sasl_auth_enable",
  "smtpd_sasl_exceptions_networks",
  "smtpd_sasl_mechanism_filter",
  "smtpd_sasl_password_file",
  "smtpd_sasl_path",
  "smtpd_sasl_type",
] as const;

/** The grants for the backend's socket; the path in the settings becomes the whole of where it is. */
export function saslReach(
  configuration: Configuration,
  entry: ServiceEntry,
  settings: Record<string, unknown>,
): Grant[] {
  const { smtpd_sasl_auth_enable, smtpd_sasl_path, smtpd_sasl_type } = settingsFor(
    configuration,
    entry,
    PARAMETERS,
  );
  if (!smtpd_sasl_auth_enable || !asksSocket(smtpd_sasl_type)) return [];
  const parsed = parseSaslPath(smtpd_sasl_type, smtpd_sasl_path, configuration.settings.queue_directory);
  if (parsed.kind === "wrong") return [];
  const { target } = parsed;
  settings["smtpd_sasl_path"] = targetText(target);
  const because = `smtpd_sasl_path (${configuration.origin("smtpd_sasl_path")})`;
  if (target.kind === "inet") {
    const host = target.address.includes(":") ? `[${target.address}]` : target.address;
    return [{ kind: "net", object: `${host}:${target.port}`, because }];
  }
  return [
    { kind: "net", object: `unix:${target.path}`, because },
    { kind: "read", object: target.path, because },
    { kind: "write", object: target.path, because },
  ];
}

/** All that is wrong with how servers are to check logins, each thing once. */
export function findSaslProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
): Problem[] {
  const problems = new Map<string, Problem>();
  for (const entry of configuration.services) {
    if (services.get(entry.command)?.asksSasl !== true) continue;
    for (const problem of serviceProblems(configuration, entry)) {
      problems.set(`${problem.file} ${problem.line} ${problem.text}`, problem);
    }
  }
  return [...problems.values()];
}

function serviceProblems(configuration: Configuration, entry: ServiceEntry): Problem[] {
  const settings = settingsFor(configuration, entry, PARAMETERS);
  if (!settings.smtpd_sasl_auth_enable) return [];
  const scope = configuration.scopeOf(entry);
  const problems: Problem[] = [];
  const at = (name: string) => scope.setting(name) ?? entry.place;
  const error = (name: string, text: string, cure?: string) =>
    problems.push(errorAt(at(name), `"${name}": ${text}`, cure));
  const table = settings.smtpd_sasl_mechanism_filter.find((item) =>
    item.includes(":") && !item.startsWith("static:")
  );
  if (table !== undefined) {
    error("smtpd_sasl_mechanism_filter", `"${table}" is not supported`, "write the mechanisms out");
  }
  if (asksSocket(settings.smtpd_sasl_type)) {
    const parsed = parseSaslPath(settings.smtpd_sasl_type, settings.smtpd_sasl_path, "/");
    if (parsed.kind === "wrong") error("smtpd_sasl_path", parsed.why);
    return problems;
  }
  if (!configuration.services.some((other) => other.name === "sasl")) {
    error("smtpd_sasl_type", 'master.toml has no service "sasl", which checks passwords', "add it");
  }
  const path = settings.smtpd_sasl_password_file;
  if (path === "") error("smtpd_sasl_password_file", "it must be set where smtpd_sasl_type is passwords");
  else {
    try {
      readTextFile(path, 4 * 1024 * 1024);
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      problems.push(warningAt(at("smtpd_sasl_password_file"), `"smtpd_sasl_password_file": ${text}`));
    }
  }
  return problems;
}
