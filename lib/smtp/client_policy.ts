/**
 * What the configuration wants of the client, in one form for SMTP and LMTP.
 *
 * @module
 */
import { asciiLower, parseDecimal } from "../vstring/ascii.ts";
import type { Settings } from "../config/parameters.ts";
import type { DeadlineRule } from "../stream/deadline.ts";
import { OwnAddresses } from "../mail/own_address.ts";
import { trustedNexthops } from "./address_policy.ts";

/** SMTP (RFC 5321) or LMTP (RFC 2033). */
export type Dialect = "smtp" | "lmtp";

/** Milliseconds; see the parameters of the same names. */
export interface ClientTimeouts {
  readonly connect: number;
  readonly hello: number;
  readonly mail: number;
  readonly rcpt: number;
  readonly dataInit: number;
  readonly dataDone: number;
  readonly reset: number;
  readonly quit: number;
}

/** How connections are kept for the next delivery. */
export interface ReusePolicy {
  readonly enabled: boolean;
  readonly idleMs: number;
  readonly ageMs: number;
  /** Most deliveries over one connection; 0: no limit. */
  readonly count: number;
}

/** What the client does, in one value. */
export interface ClientPolicy {
  readonly dialect: Dialect;
  /** Name in EHLO, HELO or LHLO. */
  readonly helloName: string;
  readonly myHostName: string;
  readonly defaultPort: number;
  readonly knownPorts: ReadonlyMap<string, number>;
  readonly timeouts: ClientTimeouts;
  /** How long the message text may take. */
  readonly transfer: DeadlineRule;
  readonly reuse: ReusePolicy;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly addressPreference: "any" | "ipv4" | "ipv6";
  readonly balance: boolean;
  readonly randomize: boolean;
  readonly addressLimit: number;
  readonly sessionLimit: number;
  readonly lookups: boolean;
  readonly ignoreMxErrors: boolean;
  readonly deferIfNoAddress: boolean;
  readonly ehlo: "always" | "banner" | "never";
  readonly skip5xxGreeting: boolean;
  readonly discardKeywords: readonly string[];
  readonly quoteAddresses: boolean;
  /** How far a probe goes (smtp_address_verify_target). */
  readonly probeTarget: "rcpt" | "data";
  readonly lineLimit: number;
  readonly convertMime: boolean;
  readonly awaitQuit: boolean;
  readonly fallbackRelays: readonly string[];
  readonly relayhost: string;
  readonly softBounce: boolean;
  /** Next hosts whose addresses may be private, lower case. */
  readonly trusted: ReadonlySet<string>;
  /** Addresses of this host. */
  readonly own: OwnAddresses;
  readonly delayResolution: number;
  readonly logAddressFormat: "external" | "internal";
}

/** Endings of the parameters that exist as smtp_* and lmtp_*. */
const SHARED = [
  "address_preference",
  "address_verify_target",
  "balance_inet_protocols",
  "connect_timeout",
  "connection_cache_on_demand",
  "connection_cache_time_limit",
  "connection_reuse_count_limit",
  "connection_reuse_time_limit",
  "data_done_timeout",
  "data_init_timeout",
  "data_xfer_timeout",
  "defer_if_no_mx_address_found",
  "dns_support_level",
  "fallback_relay",
  "line_length_limit",
  "mail_timeout",
  "min_data_rate",
  "mx_address_limit",
  "mx_session_limit",
  "per_request_deadline",
  "quit_timeout",
  "quote_rfc821_envelope",
  "randomize_addresses",
  "rcpt_timeout",
  "rset_timeout",
  "skip_5xx_greeting",
  "skip_quit_response",
  "tcp_port",
] as const;

type SharedSettings = Settings<`smtp_${(typeof SHARED)[number]}`>;

/** Parameters that both programs read. */
export type CommonSettings = Settings<
  | "default_transport"
  | "delay_logging_resolution_limit"
  | "disable_dns_lookups"
  | "disable_mime_output_conversion"
  | "ignore_mx_lookup_error"
  | "inet_interfaces"
  | "inet_protocols"
  | "info_log_address_format"
  | "known_tcp_ports"
  | "local_transport"
  | "myhostname"
  | "proxy_interfaces"
  | "relay_transport"
  | "relayhost"
  | "smtp_trusted_nexthops"
  | "soft_bounce"
  | "virtual_transport"
>;

/** Parameters of the smtp program. */
export type SmtpSettings =
  & CommonSettings
  & SharedSettings
  & Settings<
    | "smtp_always_send_ehlo"
    | "smtp_discard_ehlo_keywords"
    | "smtp_helo_name"
    | "smtp_helo_timeout"
    | "smtp_never_send_ehlo"
  >;

/** Parameters of the lmtp program. */
export type LmtpSettings =
  & CommonSettings
  & Settings<`lmtp_${(typeof SHARED)[number]}`>
  & Settings<"lmtp_discard_lhlo_keywords" | "lmtp_lhlo_name" | "lmtp_lhlo_timeout">;

/**
 * The policy of the smtp program.
 *
 * @param system addresses of this host's network interfaces
 */
export function smtpPolicy(settings: SmtpSettings, system: () => readonly string[]): ClientPolicy {
  return {
    ...commonPolicy("smtp", settings, settings, system, settings.smtp_helo_timeout),
    helloName: settings.smtp_helo_name,
    ehlo: settings.smtp_never_send_ehlo ? "never" : settings.smtp_always_send_ehlo ? "always" : "banner",
    discardKeywords: settings.smtp_discard_ehlo_keywords,
  };
}

/** The policy of the lmtp program. */
export function lmtpPolicy(settings: LmtpSettings, system: () => readonly string[]): ClientPolicy {
  // lmtp_x has the type of smtp_x for every x of the list, so one function reads both.
  const renamed = Object.fromEntries(SHARED.map((name) => [`smtp_${name}`, settings[`lmtp_${name}`]]));
  const shared = renamed as unknown as SharedSettings;
  return {
    ...commonPolicy("lmtp", settings, shared, system, settings.lmtp_lhlo_timeout),
    helloName: settings.lmtp_lhlo_name,
    ehlo: "always",
    discardKeywords: settings.lmtp_discard_lhlo_keywords,
  };
}

function commonPolicy(
  dialect: Dialect,
  common: CommonSettings,
  shared: SharedSettings,
  system: () => readonly string[],
  helloTimeout: number,
): Omit<ClientPolicy, "helloName" | "ehlo" | "discardKeywords"> {
  const knownPorts = parseKnownPorts(common.known_tcp_ports);
  const defaultPort = parsePort(shared.smtp_tcp_port, knownPorts);
  if (defaultPort === undefined) {
    throw new Error(`Cannot use ${dialect}_tcp_port "${shared.smtp_tcp_port}": it is no port`);
  }
  return {
    dialect,
    myHostName: common.myhostname,
    defaultPort,
    knownPorts,
    timeouts: {
      connect: shared.smtp_connect_timeout * 1000,
      hello: helloTimeout * 1000,
      mail: shared.smtp_mail_timeout * 1000,
      rcpt: shared.smtp_rcpt_timeout * 1000,
      dataInit: shared.smtp_data_init_timeout * 1000,
      dataDone: shared.smtp_data_done_timeout * 1000,
      reset: shared.smtp_rset_timeout * 1000,
      quit: shared.smtp_quit_timeout * 1000,
    },
    transfer: {
      timeout: shared.smtp_data_xfer_timeout * 1000,
      perRequest: shared.smtp_per_request_deadline,
      minimumRate: shared.smtp_min_data_rate,
    },
    reuse: {
      enabled: shared.smtp_connection_cache_on_demand,
      idleMs: shared.smtp_connection_cache_time_limit * 1000,
      ageMs: shared.smtp_connection_reuse_time_limit * 1000,
      count: shared.smtp_connection_reuse_count_limit,
    },
    ...familyPolicy(common.inet_protocols),
    addressPreference: oneOf(shared.smtp_address_preference, ["any", "ipv4", "ipv6"]),
    balance: shared.smtp_balance_inet_protocols,
    randomize: shared.smtp_randomize_addresses,
    addressLimit: shared.smtp_mx_address_limit,
    sessionLimit: shared.smtp_mx_session_limit,
    lookups: shared.smtp_dns_support_level === ""
      ? !common.disable_dns_lookups
      : shared.smtp_dns_support_level !== "disabled",
    ignoreMxErrors: common.ignore_mx_lookup_error,
    deferIfNoAddress: shared.smtp_defer_if_no_mx_address_found,
    skip5xxGreeting: shared.smtp_skip_5xx_greeting,
    quoteAddresses: shared.smtp_quote_rfc821_envelope,
    probeTarget: oneOf(shared.smtp_address_verify_target, ["rcpt", "data"]),
    lineLimit: shared.smtp_line_length_limit,
    convertMime: !common.disable_mime_output_conversion,
    awaitQuit: !shared.smtp_skip_quit_response,
    fallbackRelays: shared.smtp_fallback_relay,
    relayhost: asciiLower(common.relayhost),
    softBounce: common.soft_bounce,
    trusted: trustedNexthops({
      nexthops: [common.relayhost, ...shared.smtp_fallback_relay, ...common.smtp_trusted_nexthops],
      transports: [
        common.default_transport,
        common.relay_transport,
        common.local_transport,
        common.virtual_transport,
      ],
    }),
    own: new OwnAddresses(common.inet_interfaces, common.proxy_interfaces, system),
    delayResolution: common.delay_logging_resolution_limit,
    logAddressFormat: oneOf(common.info_log_address_format, ["external", "internal"]),
  };
}

function familyPolicy(protocols: readonly string[]): { readonly ipv4: boolean; readonly ipv6: boolean } {
  const all = protocols.includes("all");
  return { ipv4: all || protocols.includes("ipv4"), ipv6: all || protocols.includes("ipv6") };
}

/** Ports by name from "lmtp=24", "smtps=submissions=465". */
export function parseKnownPorts(words: readonly string[]): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  for (const word of words) {
    const parts = word.split("=");
    const port = parseDecimal(parts[parts.length - 1] ?? "", 65_535);
    if (port === undefined || parts.length < 2) {
      throw new Error(`Cannot use known_tcp_ports "${word}": no name=port`);
    }
    for (const name of parts.slice(0, -1)) ports.set(asciiLower(name), port);
  }
  return ports;
}

/** A port number from 1 to 65535, or one of the known names. */
export function parsePort(text: string, known: ReadonlyMap<string, number>): number | undefined {
  const port = known.get(asciiLower(text)) ?? parseDecimal(text, 65_535);
  return port === 0 ? undefined : port;
}

/** The value if it is one of the words, else the first of them; the configuration has checked it. */
function oneOf<const W extends string>(value: string, words: readonly W[]): W {
  return words.find((word) => word === value) ?? words[0]!;
}
