/**
 * What the programs that send mail to other hosts are made of: their two `main.ts` differ in the dialect and in the
 * parameters' names only.
 *
 * @module
 */
// Safe primitives
import { systemHosts } from "../safe/hosts_file.ts";
// Utility
import { printable } from "../vstring/printable.ts";
import type { Settings } from "../config/parameters.ts";
import type { IpcError } from "../ipc/client.ts";
import type { Request } from "../ipc/protocol.ts";
// Mail
import { QueueDirectory } from "../mail/queue_directory.ts";
import type { TlsWishSettings } from "../mail/send_options.ts";
import { DnsClient } from "../proto/dns_client.ts";
import { noticeLines, type NoticeSettings, sendNotice } from "../proto/error_notice.ts";
import { CacheClient } from "../proto/cache_client.ts";
import { CACHE, CLEANUP, DELIVERY, DNS, PROXYMAP, REWRITE } from "../proto/protocols.ts";
import { MapClient } from "../proto/proxymap_client.ts";
import { RewriteClient } from "../proto/rewrite_client.ts";
import type { StsLookup } from "../proto/sts_client.ts";
import type { TlsReporter } from "../proto/tlsrpt_client.ts";
// Wire protocols
import { ClientAgent, type DeliveryExchange } from "../smtp/client_agent.ts";
import { SessionCache } from "../smtp/client_cache.ts";
import type { PassOn } from "../smtp/client_delivery.ts";
import type { ClientPolicy } from "../smtp/client_policy.ts";
import type { DeliveryRequest, RecipientReport } from "../smtp/client_recipients.ts";
import type { RequireTlsPolicy } from "../smtp/client_requiretls.ts";
import type { OutgoingRules, RewriteServices } from "../smtp/client_rewrite.ts";
import { ClientLogin, type SaslConfiguration } from "../smtp/client_sasl.ts";
import { RefusedLogins } from "../smtp/client_sasl_cache.ts";
import type { ClientTables } from "../smtp/client_tables.ts";
import { ClientTls } from "../smtp/client_tls.ts";
import { TlsPolicyFinder } from "../smtp/client_tls_policy.ts";
import type { TlsConfiguration } from "../smtp/client_tls_settings.ts";
// Server skeleton
import type { Context } from "./context.ts";
import type { Service } from "./service.ts";

/** Parameters that are read here. */
type ProgramSettings =
  & NoticeSettings
  & TlsWishSettings
  & Settings<"hash_queue_depth" | "hash_queue_names" | "notify_classes" | "queue_directory">;

/** The part of a context that is used. */
type ProgramContext =
  & Pick<Context<Service>, "client" | "reaches" | "log" | "trouble" | "onRetire">
  & { readonly settings: ProgramSettings };

/** What differs between the programs. */
export interface ClientProgram {
  readonly policy: ClientPolicy;
  /** What changes in mail; `services` is called only where something does. */
  readonly rules: (services: () => RewriteServices) => OutgoingRules | undefined;
  /** Tables about servers; `maps` is called only where there are some. */
  readonly tables: (maps: () => MapClient) => ClientTables | undefined;
  readonly tls: TlsConfiguration;
  /** What REQUIRETLS demands of destinations; `maps` is called only where a table has to be asked. */
  readonly requireTls: (maps: () => MapClient) => RequireTlsPolicy;
  /** Undefined where MTA-STS policies are not asked for. */
  readonly sts?: StsLookup | undefined;
  /** Undefined where nobody wants to know what became of TLS. */
  readonly reporter?: TlsReporter | undefined;
  /** Undefined where nobody logs in. */
  readonly sasl: SaslConfiguration | undefined;
}

/** Makes the agent of a program and gives what serves a request. */
export function mailClient(
  context: ProgramContext,
  program: ClientProgram,
): (exchange: DeliveryExchange, request: Request<typeof DELIVERY>) => Promise<void> {
  const { settings, log } = context;
  const { policy } = program;
  const maps = () => new MapClient(context.client(PROXYMAP, "proxymap"), { ...settings });
  const services = () => ({ maps: maps(), rewrite: new RewriteClient(context.client(REWRITE, "rewrite")) });
  const cache = new SessionCache(policy, (error) => context.trouble("closing a connection", error));
  const dns = new DnsClient(context.client(DNS, "dns"));
  const tables = program.tables(maps);
  const queue = new QueueDirectory(
    settings.queue_directory,
    settings.hash_queue_names,
    settings.hash_queue_depth,
  );
  const agent = new ClientAgent({
    policy,
    dns: tables?.filterDns(dns) ?? dns,
    native: systemHosts,
    cache,
    tls: clientTls(context, program, maps, dns),
    wishes: { heard: settings, requireTls: program.requireTls(maps) },
    login: program.sasl === undefined ? undefined : clientLogin(context, program.sasl, maps()),
    log,
    random: Math.random,
    rules: program.rules(services),
    tables,
    notify: settings.notify_classes.includes("protocol") ? postmaster(context, policy) : undefined,
    doubleBounceSender: `${settings.double_bounce_sender}@${settings.myhostname}`,
    pass: policy.bestMxTransport === "" ? undefined : passTo(context, policy.bestMxTransport),
    trouble: (what, error) => context.trouble(what, error),
  }, queue);
  return (exchange, request) => agent.handle(exchange, request);
}

/** What logs in, and remembers where that was refused. */
function clientLogin(context: ProgramContext, sasl: SaslConfiguration, maps: MapClient): ClientLogin {
  const { cache, cacheTime = 0 } = sasl;
  if (cache === undefined) return new ClientLogin(sasl, maps);
  if (!context.reaches("proxywrite")) {
    context.log.warning(`${cache} is not used: master.toml has no service "proxywrite"`);
    return new ClientLogin(sasl, maps);
  }
  const client = new CacheClient(context.client(CACHE, "proxywrite"), cache);
  return new ClientLogin(sasl, maps, new RefusedLogins(client, cacheTime));
}

/** What finds the TLS policies of servers, and obeys them. */
function clientTls(
  { log }: ProgramContext,
  { policy, tls, sts, reporter }: ClientProgram,
  maps: () => MapClient,
  dns: DnsClient,
): ClientTls {
  const finder = new TlsPolicyFinder({
    configuration: tls,
    myHostName: policy.myHostName,
    maps: tls.policyTables === undefined ? undefined : maps(),
    // A filter of replies is about where mail goes; what DANE trusts is what the resolver said.
    dns,
    sts,
    warn: (text) => log.warning(text),
  });
  return new ClientTls(tls, finder, log, reporter);
}

/** Tells the postmaster of conversations; that it fails is only logged, as the mail is dealt with. */
function postmaster(context: ProgramContext, policy: ClientPolicy) {
  const cleanup = context.client(CLEANUP, "cleanup");
  const underWay = new Set<Promise<void>>();
  context.onRetire(async () => void await Promise.all(underWay));
  return (server: string, body: readonly string[]) => {
    const subject = `${policy.dialect === "smtp" ? "SMTP" : "LMTP"} client: errors from ${server}`;
    const lines = (id: string, time: number) => noticeLines(context.settings, id, subject, body, time);
    const sending = sendNotice(cleanup, context.settings, lines)
      .then((why) => {
        if (why !== undefined) {
          context.log.warning(`postmaster notice for ${server} failed: ${printable(why)}`);
        }
      }, (error) => context.trouble(`postmaster notice for ${server}`, error))
      .finally(() => underWay.delete(sending));
    underWay.add(sending);
  };
}

/** Hands recipients to the transport that the text names, as `transport` or `transport:nexthop`. */
function passTo(context: ProgramContext, text: string): PassOn {
  const colon = text.indexOf(":");
  const transport = colon < 0 ? text : text.slice(0, colon);
  const nexthop = colon < 0 ? "" : text.slice(colon + 1);
  return async (request, recipients, report) => {
    const unavailable = `mail transport "${printable(transport)}" unavailable`;
    if (!context.reaches(transport)) return unavailable;
    const client = context.client(DELIVERY, transport);
    const passed: DeliveryRequest = { ...request, recipients, nexthop: nexthop || request.nexthop };
    const error = await new Promise<IpcError | undefined>((resolve) => {
      const exchange = client.open((reply) => {
        if (reply.is === "finished") return resolve(undefined);
        const { is: _, ...outcome } = reply;
        report(outcome satisfies RecipientReport);
      }, resolve);
      exchange.send("deliver", withoutKind(passed));
    });
    return error === undefined ? `${unavailable}: it has not told of all recipients` : unavailable;
  };
}

/** The fields of a request that came in, for one that goes out. */
function withoutKind(request: DeliveryRequest & { readonly is?: string }): DeliveryRequest {
  const { is: _, ...fields } = request;
  return fields;
}
