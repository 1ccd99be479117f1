/** A trivial-rewrite service with its tables in the configuration, for tests. */
import { PARAMETERS } from "../../../lib/config/parameters.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { OwnAddresses } from "../../../lib/mail/own_address.ts";
import { MapService } from "../../../lib/maps/proxymap_service.ts";
import {
  type ProxymapSettings,
  ProxymapTables,
  searchedParameters,
} from "../../../lib/maps/proxymap_tables.ts";
import { SERVICE as PROXYMAP_SERVICE } from "../../../daemons/proxymap/service.ts";
import { type ResolveAnswer, RewriteService } from "../../../lib/rewrite/rewrite_service.ts";
import type { Maps, RewriteSettings } from "../../../lib/rewrite/rewrite_settings.ts";
import { SERVICE } from "../../../daemons/trivial-rewrite/service.ts";

export type Overrides = { [name: string]: string | boolean | readonly string[] };

/** The settings of a small mail host, with the defaults of the parameter table behind them. */
export function makeSettings(overrides: Overrides = {}): RewriteSettings & ProxymapSettings {
  const settings: Record<string, unknown> = {};
  for (const name of [...SERVICE.parameters, ...PROXYMAP_SERVICE.parameters]) {
    const { type, default: value } = PARAMETERS[name];
    if (type === "boolean") settings[name] = value === "yes";
    else if (type === "string") settings[name] = value;
    else settings[name] = value.includes("$") || value === "" ? [] : value.split(/[, ]+/);
  }
  Object.assign(settings, {
    myhostname: "mx.test",
    mydomain: "test",
    myorigin: "mx.test",
    mydestination: ["mx.test", "local.test", "localhost"],
    inet_interfaces: ["192.0.2.1", "127.0.0.1", "2001:db8::1"],
    local_transport: "local:mx.test",
    ...overrides,
  });
  return settings as unknown as RewriteSettings & ProxymapSettings;
}

export interface Fixture {
  readonly service: RewriteService;
  readonly log: string[];
  /** Look-ups made, as "parameter key". */
  readonly asked: string[];
}

/** Makes the service with the tables of the real proxymap service; `failing` names parameters whose tables fail. */
export function makeService(overrides: Overrides = {}, failing: readonly string[] = []): Fixture {
  const settings = makeSettings(overrides);
  const log: string[] = [];
  const asked: string[] = [];
  const note = (text: string) => void log.push(text);
  const logger: Logger = { info: note, warning: note, error: note, debug: note, flush: () => {} };
  const tables = new ProxymapTables(settings, logger, searchedParameters(PROXYMAP_SERVICE.reads));
  const own = new OwnAddresses(settings.inet_interfaces, settings.proxy_interfaces, () => ["198.51.100.7"]);
  const proxymap = new MapService(settings, tables, new Set(), logger);
  const maps: Maps = {
    find: async (parameter, search, key) => {
      asked.push(`${parameter} ${key}`);
      if (failing.includes(parameter)) return { kind: "retry", why: "table is away" };
      return await proxymap.find({ parameter, search, key, table: "" });
    },
  };
  return { service: new RewriteService(settings, maps, own, logger), log, asked };
}

/** A resolution on one line: `transport nexthop recipient class` and what flags it has. */
export function show(answer: ResolveAnswer): string {
  if (answer.kind === "retry") return `retry: ${answer.why}`;
  const { transport, nexthop, recipient, class: kind, routed, bad } = answer.resolution;
  return [`${transport}:${nexthop}`, recipient, kind, routed ? "routed" : "", bad ? "bad" : ""].filter(
    Boolean,
  )
    .join(" | ");
}
