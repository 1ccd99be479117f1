/**
 * Which mail filters a message goes through, and what those of the administrator's own kind may touch. What they say of it
 * depends on its content: `postern filter` tries one on a message.
 *
 * @module
 */
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../lib/config/configuration.ts";
import type { ParameterName, Settings } from "../lib/config/parameters.ts";
// Internal protocols
import type { MapLookup } from "../lib/proto/proxymap_client.ts";
// Wire protocols
import {
  clientMilters,
  MILTER_SETTINGS,
  type MilterRule,
  MilterRuleError,
  type MilterSettings,
  parseMilters,
} from "../lib/milter/milter_rule.ts";
// Server skeleton
import { filterMay } from "../lib/server/filter_reach.ts";
import type { Service } from "../lib/server/service.ts";
// This program
import type { MailFilterFacts } from "./explain_facts.ts";

/** What filters are found with. */
export interface FilterTools {
  readonly configuration: Configuration;
  /** The daemons' declarations. */
  readonly services: ReadonlyMap<string, Service>;
}

const SMTPD = ["smtpd_milters", "smtpd_proxy_filter", ...MILTER_SETTINGS] as const;
const LOCAL = ["non_smtpd_milters", ...MILTER_SETTINGS] as const;

/** The filters of mail that comes in by an SMTP service, in the order in which they are asked. */
export async function smtpFilters(
  tools: FilterTools & { readonly maps: MapLookup },
  entry: ServiceEntry,
  client: string,
): Promise<MailFilterFacts[]> {
  const settings = settingsFor(tools.configuration, entry, SMTPD);
  const { parameter, rules } = await milterRules(tools, entry, client, settings);
  const milters = rules.map((rule) => factsOf(tools, entry, parameter, rule));
  if (settings.smtpd_proxy_filter === "") return milters;
  const place = tools.configuration.scopeOf(entry).origin("smtpd_proxy_filter");
  return [...milters, { name: settings.smtpd_proxy_filter, rule: "smtpd_proxy_filter", place }];
}

/** The filters of mail that comes from this host's programs. */
export function localFilters(tools: FilterTools): MailFilterFacts[] {
  const { configuration } = tools;
  const entry = configuration.services.find(({ command }) => command === "cleanup");
  const pickup = configuration.services.find(({ command }) => command === "pickup");
  if (entry === undefined || pickup === undefined || !hasMilters(configuration, pickup)) return [];
  const settings = settingsFor(configuration, entry, LOCAL);
  const rules = parsed(settings.non_smtpd_milters, settings);
  return rules.map((rule) => factsOf(tools, entry, "non_smtpd_milters", rule));
}

function hasMilters(configuration: Configuration, entry: ServiceEntry): boolean {
  const { receive_override_options: options } = settingsFor(configuration, entry, [
    "receive_override_options",
  ]);
  return !options.includes("no_milters");
}

/** The milters of a client with the parameter that names them, as smtpd chooses. */
async function milterRules(
  { configuration, maps }: FilterTools & { readonly maps: MapLookup },
  entry: ServiceEntry,
  client: string,
  settings: Settings<typeof SMTPD[number]>,
): Promise<{ parameter: ParameterName; rules: readonly MilterRule[] }> {
  if (!hasMilters(configuration, entry)) return { parameter: "smtpd_milters", rules: [] };
  const usual = parsed(settings.smtpd_milters, settings);
  const found = await maps.find("smtpd_milter_maps", "key", client);
  const rules = clientMilters(found, usual, settings, () => {});
  return { parameter: rules === usual ? "smtpd_milters" : "smtpd_milter_maps", rules };
}

/** No filters of a list that names none: `check` says what is wrong with it. */
function parsed(items: readonly string[], settings: MilterSettings): readonly MilterRule[] {
  try {
    return parseMilters(items, settings);
  } catch (error) {
    if (!(error instanceof MilterRuleError)) throw error;
    return [];
  }
}

function factsOf(
  { configuration, services }: FilterTools,
  entry: ServiceEntry,
  rule: ParameterName,
  { name, target, defaultAction }: MilterRule,
): MailFilterFacts {
  const facts = { name, rule, place: configuration.scopeOf(entry).origin(rule), whenItFails: defaultAction };
  const own = target.kind === "service"
    ? configuration.services.find((one) => one.name === target.name)
    : undefined;
  const service = own && services.get(own.command);
  const may = own && service && filterMay(configuration, own, service);
  return may === undefined ? facts : { ...facts, may };
}
