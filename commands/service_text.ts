/**
 * Services in the form of master.cf and in that of master.toml.
 *
 * @module
 */
// Utility
import type { ServiceEntry } from "../lib/config/configuration.ts";
import { findRow } from "../lib/config/scope.ts";
import { parameterToTomlLine, quoteToml, tomlKey } from "../lib/config/toml_text.ts";

/** What a service of master.toml has, as text of main.cf where it is a parameter. */
export interface ServiceText {
  readonly name: string;
  readonly type: "inet" | "unix" | "pass";
  readonly private: boolean;
  readonly command: string;
  readonly processLimit?: number | undefined;
  /** As "60s" or "300s?". */
  readonly wakeup?: string | undefined;
  /** Of a pipe service. */
  readonly arguments?: readonly string[] | undefined;
  readonly parameters: ReadonlyMap<string, string>;
}

/** A `[[service]]` of master.toml. */
export function serviceToToml(service: ServiceText): string {
  const lines = [
    "[[service]]",
    `name = ${quoteToml(service.name)}`,
    `type = ${quoteToml(service.type)}`,
    ...(service.private ? [] : ["private = false"]),
    `command = ${quoteToml(service.command)}`,
    ...(service.processLimit === undefined ? [] : [`process_limit = ${service.processLimit}`]),
    ...(service.wakeup === undefined ? [] : [`wakeup = ${quoteToml(service.wakeup)}`]),
    ...(service.arguments === undefined
      ? []
      : [`arguments = [${service.arguments.map((one) => quoteToml(one)).join(", ")}]`]),
    ...(service.parameters.size === 0 ? [] : [`parameters = ${parametersToToml(service.parameters)}`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** `{ name = value, ... }`. */
export function parametersToToml(parameters: ReadonlyMap<string, string>): string {
  const pairs = [...parameters].map(([name, text]) =>
    `${tomlKey(name)} = ${parameterToTomlLine(findRow(name) ?? { type: "string" }, text)}`
  );
  return `{ ${pairs.join(", ")} }`;
}

/** The fields of a line of master.cf, by the names that `postconf -F` has for them. */
export const SERVICE_FIELDS = [
  "service",
  "type",
  "private",
  "unprivileged",
  "chroot",
  "wakeup",
  "process_limit",
  "command",
] as const;

/** One of these names. */
export type ServiceField = typeof SERVICE_FIELDS[number];

/** The fields of a service; unprivileged and chroot are as for every daemon here. */
export function serviceFields(entry: ServiceEntry): Readonly<Record<ServiceField, string>> {
  return {
    service: entry.name,
    type: entry.pass ? "pass" : entry.type,
    private: entry.type === "unix" && entry.private ? "-" : "n",
    unprivileged: "-",
    chroot: "n",
    wakeup: entry.wakeup === 0 ? "-" : `${entry.wakeup}${entry.wakeupIfUsed ? "?" : ""}`,
    process_limit: entry.processLimit === undefined ? "-" : String(entry.processLimit),
    command: entry.command,
  };
}

/** The options of a service, as `-o name=value`. */
export function serviceOptions(texts: Iterable<readonly [string, string]>): string[] {
  return [...texts].map(([name, text]) =>
    /[ \t\n{]/.test(text) ? `-o {${name}=${text}}` : `-o ${name}=${text}`
  );
}

/** The arguments of a service, as master.cf writes them. */
export function serviceArguments(entry: ServiceEntry): readonly string[] {
  const items = entry.arguments ?? [];
  // A command in one text is written in the same way there.
  const inOne = items.at(-1)?.startsWith("argv=") === true;
  return items.map((item) =>
    /[ \t\n{]/.test(item) && !(inOne && item.startsWith("argv=")) ? `{${item}}` : item
  );
}
