/**
 * What tests of proxymap share. Not a test itself.
 */
import { MapService } from "../../../lib/maps/proxymap_service.ts";
import { addressSet } from "../../../lib/maps/proxymap_local.ts";
import {
  type ProxymapSettings,
  ProxymapTables,
  searchedParameters,
} from "../../../lib/maps/proxymap_tables.ts";
import { SERVICE } from "../../../daemons/proxymap/service.ts";
import { MemoryFiles, MemoryLog } from "../../lib/table/table_support.ts";

/** Settings in which every list is empty but those given. */
export function proxymapSettings(given: Partial<Record<keyof ProxymapSettings, unknown>>): ProxymapSettings {
  const lists = Object.fromEntries(SERVICE.parameters.map((name): [string, readonly string[]] => [name, []]));
  return {
    ...lists,
    double_bounce_sender: "double-bounce",
    myorigin: "mx.test",
    owner_request_special: true,
    recipient_delimiter: "+",
    parent_domain_matches_subdomains: ["mynetworks", "relay_domains", "smtpd_access_maps"],
    ...given,
  } as unknown as ProxymapSettings;
}

/** A service with its files in memory, and with a clock that goes on by `step` milliseconds when it is looked at. */
export function makeService(
  given: Partial<Record<keyof ProxymapSettings, unknown>>,
  texts: Readonly<Record<string, string>> = {},
  step = 0,
): { service: MapService; log: MemoryLog; files: MemoryFiles } {
  const settings = proxymapSettings(given);
  const files = new MemoryFiles(texts);
  const log = new MemoryLog();
  const tables = new ProxymapTables(settings, log, searchedParameters(SERVICE.reads), { files });
  tables.openAll();
  const addresses = addressSet(["192.0.2.1", "[2001:db8::1]", "all"], () => ["198.51.100.7"]);
  let time = 0;
  const service = new MapService(settings, tables, addresses, log, undefined, () => time += step);
  return { service, log, files };
}
