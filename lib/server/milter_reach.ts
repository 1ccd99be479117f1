/**
 * Where a daemon may connect for its filters (milters): the endpoint of each that its parameters name.
 *
 * @module
 */
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { type ParameterName, PARAMETERS } from "../config/parameters.ts";
import { equalsIgnoreCase } from "../vstring/ascii.ts";
// Tables
import { openTable } from "../table/open.ts";
import { targetText } from "../table/server_target.ts";
// Wire protocols
import { MILTER_OFF, MilterRuleError, milterTargets } from "../milter/milter_rule.ts";
// Server skeleton
import type { Grant } from "./sandbox.ts";

/** The texts in which a service's parameters name filters, each with its parameter. */
function milterTexts(
  configuration: Configuration,
  entry: ServiceEntry,
  parameters: readonly ParameterName[],
): { readonly name: ParameterName; readonly text: string }[] {
  return parameters.flatMap((name) => {
    const items = settingsFor(configuration, entry, [name])[name] as readonly string[];
    const texts = PARAMETERS[name].type === "tables" ? items.flatMap(tableValues) : items;
    return texts.map((text) => ({ name, text }));
  });
}

/** The services of master.toml that the parameters name as filters ("filter:NAME"). */
export function filterNames(
  configuration: Configuration,
  entry: ServiceEntry,
  parameters: readonly ParameterName[],
): string[] {
  return milterTexts(configuration, entry, parameters).flatMap(({ text }) =>
    targetsOf(text).flatMap((target) => target.kind === "service" ? [target.name] : [])
  );
}

/** The grants for the filters of a service. What is no filter gets none: `check` says what is wrong with it. */
export function milterGrants(
  configuration: Configuration,
  entry: ServiceEntry,
  parameters: readonly ParameterName[],
): Grant[] {
  return milterTexts(configuration, entry, parameters).flatMap(({ name, text }) =>
    grantsOf(text, `${name} (${configuration.origin(name)})`)
  );
}

/** All that a table has; nothing of one that cannot be listed. */
export function tableValues(spec: string): string[] {
  const table = openTable(spec, { soft: true });
  const values = new Set(table.values?.() ?? Array.from(table.entries?.() ?? [], ([, value]) => value));
  table.close?.();
  return [...values].filter((value) => !equalsIgnoreCase(value, MILTER_OFF));
}

function grantsOf(text: string, because: string): Grant[] {
  return targetsOf(text).flatMap((target): Grant[] => {
    // A filter of our own is a service: its socket is granted as those of other services.
    if (target.kind === "service") return [];
    const net: Grant = { kind: "net", object: targetText(target), because };
    if (target.kind === "inet") return [net];
    // Connecting to a unix socket takes three grants on its exact path.
    const { path } = target;
    return [net, { kind: "read", object: path, because }, { kind: "write", object: path, because }];
  });
}

function targetsOf(text: string): ReturnType<typeof milterTargets> {
  try {
    return milterTargets(text);
  } catch (error) {
    if (!(error instanceof MilterRuleError)) throw error;
    return [];
  }
}
