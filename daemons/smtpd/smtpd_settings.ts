/**
 * What this program is told, and who answers its questions.
 *
 * @module
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
// Internal protocols
import type { AnvilService } from "../../lib/proto/anvil_client.ts";
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
import type { FlushConnection } from "../../lib/proto/flush_client.ts";
import type { LineLookup, MapLookup } from "../../lib/proto/proxymap_client.ts";
// Access
import type { Services } from "../../lib/access/policy.ts";
// This program
import type { SERVICE } from "./service.ts";
import type { SmtpdSasl } from "./smtpd_sasl.ts";
import type { SmtpdTls } from "./smtpd_tls.ts";

/** The settings that smtpd is told. */
export type SmtpdSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Who answers the questions of restrictions. */
export interface AccessServices extends Services {
  readonly settings: SmtpdSettings;
}

/** Who answers questions, and what this program is told. */
export interface SmtpdServices extends AccessServices {
  readonly maps: MapLookup & LineLookup;
  /** Without smtpd_dns_reply_filter: what is asked before there is a session goes past it. */
  readonly dns: DnsLookup;
  /** The settings while clients come faster than they can be served; undefined: the same. */
  readonly stressed?: SmtpdSettings;
  /** Clients are handed over by postscreen. */
  readonly passed?: boolean;
  /** Name of the service in master.toml. */
  readonly serviceName: string;
  /** Undefined where master.toml has no anvil service. */
  readonly anvil?: AnvilService | undefined;
  /** The path of a service's socket that filters are named by; without it there are no filters of our own. */
  readonly socketOf?: (service: string) => string | undefined;
  /** Undefined where master.toml has no flush service. */
  readonly flush?: FlushConnection | undefined;
  /** Undefined where TLS is off. */
  readonly tls?: SmtpdTls | undefined;
  /** Undefined where nobody logs in. */
  readonly sasl?: SmtpdSasl | undefined;
}
