/**
 * Where probes of addresses go: by the parameters address_verify_*, which stand in the place of those for mail.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
// Rewriting
import type { Maps, RewriteSettings } from "./rewrite_settings.ts";

/** The parameters for mail that probes have others for. */
const REPLACED = [
  "default_transport",
  "local_transport",
  "relay_transport",
  "relayhost",
  "sender_dependent_default_transport_maps",
  "sender_dependent_relayhost_maps",
  "transport_maps",
  "virtual_transport",
] as const;
type Replaced = typeof REPLACED[number];

/** The parameters for probes. */
export type ProbeSettings = Settings<`address_verify_${Replaced}`>;

/** The settings as they are for probes. */
export function probeSettings(settings: RewriteSettings & ProbeSettings): RewriteSettings {
  const own = REPLACED.map((name) => [name, settings[`address_verify_${name}`]]);
  return { ...settings, ...Object.fromEntries(own) as Settings<Replaced> };
}

/** The tables as they are for probes. */
export function probeMaps(maps: Maps): Maps {
  const replaced: readonly string[] = REPLACED;
  return {
    find: (parameter, search, key) =>
      maps.find(replaced.includes(parameter) ? `address_verify_${parameter}` : parameter, search, key),
  };
}
