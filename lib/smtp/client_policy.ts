/**
 * What the configuration wants of the client, in one form for SMTP and LMTP.
 *
 * @module
 */
import { asciiLower, parseDecimal } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
import type { Settings } from "../config/parameters.ts";
import type { DeadlineRule } from "../stream/deadline.ts";
import { OwnAddresses } from "../mail/own_address.ts";
import { isLoopbackAddress, trustedNexthops } from "./address_policy.ts";

/** The system's file of host names (hosts(5)), or the DNS. */
export type HostLookupWay = "dns" | "native";

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
  readonly xforward: number;
}

/** How connections are kept for the next delivery. */
export interface ReusePolicy {
  readonly enabled: boolean;
  readonly idleMs: number;
  readonly ageMs: number;
  /** Most deliveries over one connection; 0: no limit. */
  readonly count: number;
}

/** How SRV records are used. */
export interface SrvPolicy {
  /** Names of services whose SRV records are looked up, lower case. */
  readonly services: readonly string[];
  /** MX and addresses where there is no SRV record or it cannot be had. */
  readonly fallback: boolean;
  /** The same where it cannot be had only. */
  readonly ignoreErrors: boolean;
}

/** Work-arounds for firewalls that hide the server's greeting behind asterisks. */
export interface PixPolicy {
  readonly workarounds: readonly string[];
  /** Pause before the end of a message, milliseconds. */
  readonly delayMs: number;
  /** Only for mail that has been here for so long, milliseconds. */
  readonly thresholdMs: number;
}

/** Where connections come from; undefined: the system chooses. */
export interface BindPolicy {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** A server is not tried from any other address. */
  readonly enforce: boolean;
}

/** What the client does, in one value. */
export interface ClientPolicy {
  readonly dialect: Dialect;
  /** Name in EHLO, HELO or LHLO. */
  readonly helloName: string;
  readonly myHostName: string;
  readonly defaultPort: number;
  /** As the parameter has it, lower case: the service of destinations that name none. */
  readonly defaultService: string;
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
  /** Ways to a host's addresses, in order. Without "dns" there are no MX and SRV hosts either. */
  readonly hostLookup: readonly HostLookupWay[];
  readonly srv: SrvPolicy;
  /** A host is called by the name that its aliases end with. */
  readonly cnameOverridesName: boolean;
  readonly bind: BindPolicy;
  /** Transport for mail whose best mail exchanger is this host; empty: it is returned. */
  readonly bestMxTransport: string;
  readonly ignoreMxErrors: boolean;
  readonly deferIfNoAddress: boolean;
  readonly ehlo: "always" | "banner" | "never";
  readonly skip5xxGreeting: boolean;
  readonly discardKeywords: readonly string[];
  readonly pix: PixPolicy;
  /** Tell a server that offers XFORWARD about the client of the message. */
  readonly xforward: boolean;
  /** Success reports of LMTP say "delivered". */
  readonly assumeFinal: boolean;
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
  /** The log line of a delivery says what became of TLS. */
  readonly logsTls: boolean;
}

/** Endings of the parameters that exist as smtp_* and lmtp_*. */
const SHARED = [
  "address_preference",
  "address_verify_target",
  "balance_inet_protocols",
  "bind_address",
  "bind_address6",
  "bind_address_enforce",
  "cname_overrides_servername",
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
  "host_lookup",
  "line_length_limit",
  "log_tls_feature_status",
  "mail_timeout",
  "min_data_rate",
  "mx_address_limit",
  "mx_session_limit",
  "per_request_deadline",
  "pix_workaround_delay_time",
  "pix_workaround_threshold_time",
  "pix_workarounds",
  "quit_timeout",
  "quote_rfc821_envelope",
  "randomize_addresses",
  "rcpt_timeout",
  "rset_timeout",
  "send_xforward_command",
  "skip_5xx_greeting",
  "skip_quit_response",
  "tcp_port",
  "xforward_timeout",
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
    | "allow_srv_lookup_fallback"
    | "best_mx_transport"
    | "ignore_srv_lookup_error"
    | "smtp_helo_name"
    | "smtp_helo_timeout"
    | "smtp_never_send_ehlo"
    | "use_srv_lookup"
  >;

/** Parameters of the lmtp program. */
export type LmtpSettings =
  & CommonSettings
  & Settings<`lmtp_${(typeof SHARED)[number]}`>
  & Settings<"lmtp_assume_final" | "lmtp_discard_lhlo_keywords" | "lmtp_lhlo_name" | "lmtp_lhlo_timeout">;

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
    srv: {
      services: settings.use_srv_lookup.map(asciiLower),
      fallback: settings.allow_srv_lookup_fallback,
      ignoreErrors: settings.ignore_srv_lookup_error,
    },
    bestMxTransport: settings.best_mx_transport,
    assumeFinal: false,
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
    srv: { services: [], fallback: false, ignoreErrors: false },
    bestMxTransport: "",
    assumeFinal: settings.lmtp_assume_final,
  };
}

function commonPolicy(
  dialect: Dialect,
  common: CommonSettings,
  shared: SharedSettings,
  system: () => readonly string[],
  helloTimeout: number,
): Omit<
  ClientPolicy,
  "helloName" | "ehlo" | "discardKeywords" | "srv" | "bestMxTransport" | "assumeFinal"
> {
  const knownPorts = parseKnownPorts(common.known_tcp_ports);
  const defaultPort = parsePort(shared.smtp_tcp_port, knownPorts);
  if (defaultPort === undefined) {
    throw new Error(`Cannot use ${dialect}_tcp_port "${shared.smtp_tcp_port}": it is no port`);
  }
  return {
    dialect,
    myHostName: common.myhostname,
    defaultPort,
    defaultService: asciiLower(shared.smtp_tcp_port),
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
      xforward: shared.smtp_xforward_timeout * 1000,
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
    hostLookup: hostLookupWays(
      common.disable_dns_lookups,
      shared.smtp_dns_support_level,
      shared.smtp_host_lookup,
    ),
    cnameOverridesName: shared.smtp_cname_overrides_servername,
    bind: bindPolicy(common, shared),
    ignoreMxErrors: common.ignore_mx_lookup_error,
    deferIfNoAddress: shared.smtp_defer_if_no_mx_address_found,
    skip5xxGreeting: shared.smtp_skip_5xx_greeting,
    pix: {
      workarounds: shared.smtp_pix_workarounds,
      delayMs: shared.smtp_pix_workaround_delay_time * 1000,
      thresholdMs: shared.smtp_pix_workaround_threshold_time * 1000,
    },
    xforward: shared.smtp_send_xforward_command,
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
    logsTls: shared.smtp_log_tls_feature_status,
  };
}

/** Without DNS lookups the system's file of host names is all there is. */
export function hostLookupWays(
  disabled: boolean,
  level: string,
  ways: readonly string[],
): readonly HostLookupWay[] {
  if (level === "disabled" || (level === "" && disabled)) return ["native"];
  return ways.map((way) => oneOf(way, ["dns", "native"]));
}

/**
 * The address to connect from: the one that is set, or the only one that mail is received on, so that mail seems to
 * come from the right machine where several share one.
 */
export function bindPolicy(
  common: Pick<CommonSettings, "inet_interfaces">,
  shared: Pick<
    SharedSettings,
    "smtp_bind_address" | "smtp_bind_address6" | "smtp_bind_address_enforce"
  >,
): BindPolicy {
  const own = (length: number) => {
    const addresses = common.inet_interfaces.flatMap((item) => parseLiteral(item) ?? [])
      .filter((bytes) => bytes.length === length).map(formatIpAddress);
    const [only] = addresses;
    return addresses.length === 1 && !isLoopbackAddress(only!) ? only : undefined;
  };
  const set = (text: string, length: number) => {
    if (text === "") return own(length);
    const bytes = parseLiteral(text);
    if (bytes?.length !== length) throw new Error(`Cannot connect from "${text}": it is no such address`);
    return formatIpAddress(bytes);
  };
  return {
    ipv4: set(shared.smtp_bind_address, 4),
    ipv6: set(shared.smtp_bind_address6, 16),
    enforce: shared.smtp_bind_address_enforce,
  };
}

function parseLiteral(text: string): Uint8Array | undefined {
  return parseIpAddress(text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text);
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
