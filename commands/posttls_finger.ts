/**
 * # posttls-finger
 *
 * Looks at the TLS of an SMTP or LMTP server.
 *
 * ## Synopsis
 * `posttls-finger [options] [inet:]domain[:port] [match ...]`
 *
 * `posttls-finger -S [options] unix:pathname [match ...]`
 *
 * ## Description
 * Connects to the destination as the client would, shakes hands where the server offers STARTTLS, and says what came of
 * it: the certificate, whether it is what the level demands, protocol and cipher. Nothing is sent but EHLO, STARTTLS and
 * QUIT. The hosts of the destination are tried until one of them talks.
 *
 * - `-a FAMILY`: `ipv4`, `ipv6` or `any`.
 * - `-A FILE`: certificates and keys that the server must descend from, in the place of `-F`; may be repeated.
 * - `-c`: does not print the conversation. `-C`: prints the certificates that the server sent, as PEM.
 * - `-d DIGEST`: of fingerprints; default smtp_tls_fingerprint_digest.
 * - `-f`: asks for TLSA records of hosts without DNSSEC too.
 * - `-F FILE`, `-P DIRECTORY`: authorities that are trusted; none by default.
 * - `-g GRADE`, `-p PROTOCOLS`: as smtp_tls_mandatory_ciphers and smtp_tls_mandatory_protocols.
 * - `-H FILE`, or `-k FILE` and `-K FILE`: the client's key and certificates.
 * - `-l LEVEL`: as smtp_tls_security_level. Default: `dane` where the resolver is on this host, else `secure`. Where
 *   there are no TLSA records that can be used, `dane` is `secure`.
 * - `-L WORDS`: what is told of TLS: `none`, `summary`, `peercert`, `certmatch`, `verbose`. Default: `summary,certmatch`.
 * - `-s NAME`: name in the handshake (SNI). `-S`: LMTP. `-w`: TLS from the first byte on.
 * - `-t SECONDS`, `-T SECONDS`: for connecting, and for each command.
 * - `-h`, `-v`: taken, without effect.
 * - `--json`: one JSON object on standard output, with every host that was tried.
 *
 * MATCH: names (`nexthop`, `dot-nexthop`, `hostname`, or names) for the levels verify and secure, fingerprints for
 * fingerprint.
 *
 * ## Security
 * Runs with its caller's rights and connects where its caller says. What the server sends is printed as visible
 * characters only.
 *
 * ## Standards
 * RFC 3207 (STARTTLS), RFC 7672 (DANE).
 *
 * ## Diagnostics
 * On standard output, with Postfix's lines. Exit status: 0 when a server's certificate was what the level demands, or the
 * level demands none; 1 otherwise; 64 for a wrong command line.
 *
 * ## Parameters
 * As the smtp client: myhostname, resolver, inet_protocols, smtp_tls_fingerprint_digest and the like. Policy tables are
 * not asked.
 *
 * ## Known limits
 * No `-m`, `-M`, `-o`, `-O`, `-r` and `-X`: sessions are not resumed.
 *
 * @module
 */
// Safe primitives
import { connectTcp, connectUnix, NetworkError } from "../lib/safe/connect.ts";
import { systemHosts } from "../lib/safe/hosts_file.ts";
import { systemAddresses } from "../lib/safe/process.ts";
import { readTextFile } from "../lib/safe/file.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { printable } from "../lib/vstring/printable.ts";
import { parseServers, Resolver } from "../lib/dns/resolver.ts";
// Wire protocols
import { type Destination, parseDestination } from "../lib/smtp/client_destination.ts";
import { StreamError } from "../lib/smtp/client_failure.ts";
import { type Host, relayLabel } from "../lib/smtp/client_hosts.ts";
import { lookUpHosts } from "../lib/smtp/client_lookup.ts";
import { type ClientPolicy, lmtpPolicy, smtpPolicy } from "../lib/smtp/client_policy.ts";
import { ClientSession } from "../lib/smtp/client_session.ts";
import { type HostTls, type HostTlsFinding, TlsPolicyFinder } from "../lib/smtp/client_tls_policy.ts";
import { type Introduced, introduceSecurely } from "../lib/smtp/client_tls_session.ts";
import {
  smtpTlsConfiguration,
  type TlsConfiguration,
  type TlsLevel,
} from "../lib/smtp/client_tls_settings.ts";
import { ClientTranscript } from "../lib/smtp/client_transcript.ts";
import type { Reply } from "../lib/smtp/reply.ts";
import { readChains, readPair } from "../lib/tls/tls_identity.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
import { authorityTexts } from "../lib/server/tls_client_files.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { type FingerOptions, readFingerOptions } from "./posttls_finger_options.ts";
import { type HostReport, nameLines, printChain, reportServer } from "./posttls_finger_report.ts";

/** Longest file of keys or certificates, bytes. */
const FILE_LIMIT = 4 * 1024 * 1024;

/** Everything that one run works with. */
interface Finger {
  readonly options: FingerOptions;
  readonly policy: ClientPolicy;
  readonly configuration: TlsConfiguration;
  readonly say: (text: string) => void;
}

/** Looks at a server. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readFingerOptions(args);
  const configuration = env.config();
  const say = (text: string) => options.json ? undefined : env.out(`${env.programName}: ${text}\n`);
  const { settings } = configuration;
  const resolver = settings.resolver || systemFacts().resolver;
  const policy = fingerPolicy(options, configuration);
  const onThisHost = resolver.startsWith("127.") || resolver.startsWith("[::1]") || resolver === "::1";
  const finger: Finger = {
    options,
    policy,
    configuration: fingerTls(
      options,
      configuration,
      options.level ?? (onThisHost && !options.lmtp ? "dane" : "secure"),
    ),
    say,
  };
  const dns = new Resolver(parseServers(resolver), say);
  const destination = parseDestination(options.destination, policy);
  const { hosts, why } = await hostsOf(destination, finger, dns);
  const reports: HostReport[] = [];
  let good = false;
  const finder = new TlsPolicyFinder({
    configuration: finger.configuration,
    myHostName: policy.myHostName,
    maps: undefined,
    dns,
    warn: say,
  });
  for (const host of hosts) {
    const { report, talked, verdict } = await fingerHost(destination, host, finder, finger);
    reports.push(report);
    good = verdict;
    if (options.chain && !options.json) printChain(report, env);
    if (talked) break;
  }
  if (hosts.length === 0) say(`Destination lookup failed for ${printable(options.destination)}: ${why}`);
  if (options.json) {
    const { level } = finger.configuration;
    const result = {
      destination: options.destination,
      level,
      good,
      ...(why === "" ? {} : { error: why }),
      hosts: reports,
    };
    env.out(`${JSON.stringify(result, undefined, 2)}\n`);
  }
  return good ? 0 : 1;
}

function fingerPolicy(options: FingerOptions, { settings }: Configuration): ClientPolicy {
  const made = options.lmtp ? lmtpPolicy(settings, systemAddresses) : smtpPolicy(settings, systemAddresses);
  const second = options.commandTimeout * 1000;
  const timeouts = { ...made.timeouts, connect: options.connectTimeout * 1000, hello: second, quit: second };
  return { ...made, timeouts, addressPreference: options.family, awaitQuit: true };
}

function fingerTls(options: FingerOptions, { settings }: Configuration, level: TlsLevel): TlsConfiguration {
  const read = (path: string) => readTextFile(path, FILE_LIMIT);
  try {
    const authorities = authorityTexts(options.authorities, options.authorityDirectory, read);
    const anchors = options.anchors.map(read).join("\n");
    const material = { authorities, anchors, ...identityOf(options, read) };
    const names = options.matches.length === 0 ? settings.smtp_tls_secure_cert_match : options.matches;
    return smtpTlsConfiguration({
      ...settings,
      smtp_dns_support_level: "dnssec",
      smtp_starttls_timeout: options.commandTimeout,
      smtp_tls_ciphers: options.grade,
      smtp_tls_fingerprint_cert_match: options.matches.length === 0 ? ["none"] : options.matches,
      smtp_tls_fingerprint_digest: options.digest ?? settings.smtp_tls_fingerprint_digest,
      smtp_tls_force_insecure_host_tlsa_lookup: options.forceTlsa,
      smtp_tls_loglevel: options.logsPeer ? 2 : options.logsSummary ? 1 : 0,
      smtp_tls_mandatory_ciphers: options.grade,
      smtp_tls_mandatory_protocols: [options.protocols],
      smtp_tls_policy_maps: [],
      smtp_tls_protocols: [options.protocols],
      smtp_tls_secure_cert_match: names,
      smtp_tls_security_level: level,
      smtp_tls_servername: options.serverName,
      smtp_tls_verify_cert_match: options.matches.length === 0
        ? settings.smtp_tls_verify_cert_match
        : options.matches,
      smtp_tls_wrappermode: options.wrapper,
    }, material);
  } catch (error) {
    throw new CommandError(`fatal: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function identityOf({ chains, certificate, key }: FingerOptions, read: (path: string) => string) {
  if (chains.length === 0 && certificate === "") return {};
  const found = chains.length > 0 ? readChains(chains, read) : readPair(key, certificate, read);
  if (found.kind === "wrong") throw new CommandError(`fatal: ${found.why}`);
  const [first] = found.found;
  return first === undefined ? {} : { identity: first.identity };
}

async function hostsOf(
  destination: Destination,
  { policy, say, options }: Finger,
  dns: Resolver,
): Promise<{ hosts: readonly Host[]; why: string }> {
  switch (destination.kind) {
    case "unix": {
      const name = policy.myHostName;
      const host = {
        kind: "unix",
        name,
        address: destination.path,
        port: 0,
        preference: 0,
        best: true,
      } as const;
      return { hosts: [host], why: "" };
    }
    case "bad":
      return { hosts: [], why: destination.why };
    case "inet": {
      // Who asks may ask about any address, his own among them.
      const trusted = new Set([destination.text]);
      const found = await lookUpHosts({ ...destination, port: destination.port }, {
        policy: { ...policy, trusted },
        dns,
        native: systemHosts,
        random: Math.random,
        warn: say,
      });
      if (found.kind === "failed") return { hosts: [], why: found.failure.text };
      const wanted = found.hosts.filter(({ address }) =>
        options.family === "any" || address.includes(":") === (options.family === "ipv6")
      );
      return { hosts: wanted, why: "" };
    }
    default:
      return destination satisfies never;
  }
}

/** Prints what is said. */
class Chat extends ClientTranscript {
  readonly #put: (line: string) => void;
  constructor(put: (line: string) => void) {
    super();
    this.#put = put;
  }
  override sent(line: string): void {
    this.#put(`> ${printable(line)}`);
  }
  override heard(reply: Reply): void {
    const last = reply.lines.length - 1;
    reply.lines.forEach((line, i) => this.#put(`< ${reply.code}${i === last ? " " : "-"}${line}`));
  }
}

async function fingerHost(
  destination: Destination,
  host: Host,
  finder: TlsPolicyFinder,
  finger: Finger,
): Promise<{ report: HostReport; talked: boolean; verdict: boolean }> {
  const { say, policy, options, configuration } = finger;
  const tls = await policyOf(destination, host, finder, finger);
  const { name, address, port } = host;
  const report: HostReport = {
    host: name,
    address,
    port,
    level: tls.kind === "policy" ? tls.level : "",
    conversation: [],
  };
  const fail = (why: string, talked: boolean) => {
    report.error = why;
    say(why);
    return { report, talked, verdict: false };
  };
  if (tls.kind === "invalid") return fail(tls.why, false);
  let session: ClientSession;
  try {
    const connection = host.kind === "unix"
      ? await connectUnix(address, policy.timeouts.connect)
      : await connectTcp(address, port, policy.timeouts.connect);
    const transcript = new Chat((line) => {
      report.conversation.push(line);
      if (options.chat) say(line);
    });
    session = new ClientSession(host, connection, { transcript });
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    return fail(`connect to ${relayLabel(host)}: ${printable(error.reason)}`, false);
  }
  say(`Connected to ${relayLabel(host)}`);
  const introduced = await introduceTo(session, tls, finger);
  reportServer(session, report, configuration.digest);
  if (options.logsNames) { for (const line of nameLines(session)) say(line); }
  await session.quit(policy);
  if (introduced.kind === "failed") return fail(introduced.failure.text, true);
  return {
    report,
    talked: true,
    verdict: tls.demand.kind === "none" || session.security?.judgement.matched === true,
  };
}

/** The level of the host; where DANE has no records, what an authority says decides. */
async function policyOf(
  destination: Destination,
  host: Host,
  finder: TlsPolicyFinder,
  { configuration }: Finger,
): Promise<HostTlsFinding> {
  const wanted = await finder.destination(destination);
  const found = await finder.host(wanted, destination, host);
  const isDane = configuration.level === "dane" || configuration.level === "dane-only";
  if (!isDane || wanted.kind === "invalid" || (found.kind === "policy" && found.demand.kind === "dane")) {
    return found;
  }
  if (found.kind === "invalid" && configuration.level === "dane") return found;
  return await finder.host({ ...wanted, level: "secure" }, destination, host);
}

async function introduceTo(session: ClientSession, tls: HostTls, finger: Finger): Promise<Introduced> {
  const { policy, configuration, say } = finger;
  const by = { policy, tables: undefined, arrival: Date.now(), info: say, warn: say };
  try {
    return await introduceSecurely(session, tls, { by, configuration, info: say });
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return { kind: "failed", failure: error.failure };
  }
}
