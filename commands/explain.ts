/**
 * explain - say what would become of a message, without sending it
 *
 * `postern explain [--from ADDRESS] [--client IP] [--client-name NAME] [--helo NAME] [--sasl USER] [--service NAME] [--json]
 * ADDRESS` follows mail to ADDRESS through every decision, in order: what smtpd's restrictions say one by one, with the
 * rule and the file and line that decided, and its reply to RCPT; how sender and recipient are rewritten; what the
 * recipient stands for; and for each address that is left its class, transport and next hop, and where it would end: the
 * hosts that would be tried, a mailbox, or why the mail comes back or waits. What is asked at DATA and at the end of the
 * message follows the reply to RCPT, then the mail filters that have a say (milters, filters of one's own with what they may
 * touch, smtpd_proxy_filter). Where a content filter gets the mail first (content_filter, FILTER), its transport and
 * next hop are shown: what the filter gives back is new mail, to be asked about by itself.
 *
 * Of a client that is given without a name, the name is looked up as smtpd does it. What is not said is a stranger's: the
 * client 203.0.113.250 without a name, HELO client.example, the sender
 * sender@elsewhere.example. `--from ''` is the null sender. `--service` is the name of an SMTP service in master.toml; the
 * first one is taken. `--json` prints the same facts as one JSON value.
 *
 * `postern explain --reply ID [--log FILE]` tells the story of a refusal from the log: the session, and the rule that
 * decided, with what stands at its line now. The id stands behind each refusal in the log, and in the reply itself where
 * smtpd_reply_id is set. `--log` names another file than that of maillog_file.
 *
 * **Security**: the code is that of the daemons (lib/server/decisions.ts); it runs with the rights of who calls it, who
 * must be able to read the configuration and the tables. It asks the DNS server and the databases that the configuration
 * names. Nothing is sent to a mail host, nothing is written, no running daemon is asked.
 *
 * **Diagnostics**: exit status 0 when the mail would be accepted and every end of it is a delivery; 1 when it would be
 * refused, come back or wait; 64 for a command line that makes no sense, an address that is none among it. What follows a
 * refusal is what would become of the mail if it were accepted.
 *
 * **Known limits**: the content is not known, so header and body checks, what mail filters say (`postern filter` tries one of
 * one's own on a message) and what depends on the size of the message are not explained.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
import { parseIpAddress } from "../lib/vstring/ip_address.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { parsePathArgument } from "../lib/mail/path.ts";
// Internal protocols
import type { DnsLookup } from "../lib/proto/dns_client.ts";
// Wire protocols
import { parseServers, Resolver } from "../lib/dns/resolver.ts";
// Access
import { canonicalAddress, isLoopback } from "../lib/access/peer.ts";
import { lookUpNames, type Names } from "../lib/access/peer_name.ts";
// Server skeleton
import { STRANGER } from "../lib/server/expectations.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import type { AskedMail } from "./explain_facts.ts";
import { Explainer } from "./explain_story.ts";
import { explainReply } from "./explain_reply.ts";
import { explanationText } from "./explain_text.ts";
import { logFileOf } from "./master_control.ts";
import { EX } from "./sysexits.ts";

const USAGE =
  "usage: explain [--from ADDRESS] [--client IP] [--client-name NAME] [--helo NAME] [--sasl USER] " +
  "[--service NAME] [--json] ADDRESS | --reply ID [--log FILE]";

/** Options with a value. */
const VALUES = ["from", "client", "client-name", "helo", "log", "reply", "sasl", "service"] as const;

interface Options {
  readonly values: ReadonlyMap<string, string>;
  readonly json: boolean;
  readonly recipient: string;
}

/** Prints what would become of the mail. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readOptions(args);
  const configuration = env.config();
  const reply = options.values.get("reply");
  if (reply !== undefined) {
    env.out(explainReply(reply, options.values.get("log") ?? logFileOf(configuration)));
    return 0;
  }
  const entry = findService(configuration, options.values.get("service"));
  const resolver = configuration.settings.resolver || systemFacts().resolver;
  const dns = new Resolver(parseServers(resolver), (text) => env.err(`${env.programName}: ${text}\n`));
  const asked = await askedMail(options, configuration, entry, dns);
  const explanation = await new Explainer({ configuration, services: SERVICES, dns }, asked, entry).run();
  env.out(options.json ? `${JSON.stringify(explanation, undefined, 2)}\n` : explanationText(explanation));
  return explanation.good ? 0 : 1;
}

function wrong(why: string): CommandError {
  return new CommandError(`fatal: ${why}`, EX.USAGE);
}

function readOptions(args: readonly string[]): Options {
  const values = new Map<string, string>();
  const operands: string[] = [];
  let json = false;
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === "--json") json = true;
    else if (word === "--") operands.push(...args.slice(i + 1));
    if (word === "--") break;
    if (word === "--json") continue;
    if (!word.startsWith("--")) {
      operands.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    if (!(VALUES as readonly string[]).includes(name)) {
      throw wrong(`${USAGE} (unexpected "${printable(word)}")`);
    }
    const value = equals < 0 ? args[++i] : word.slice(equals + 1);
    if (value === undefined) throw wrong(`${USAGE} (--${name} takes a value)`);
    values.set(name, value);
  }
  if (operands.length !== (values.has("reply") ? 0 : 1)) throw wrong(USAGE);
  return { values, json, recipient: operands[0] ?? "" };
}

async function askedMail(
  { values, recipient }: Options,
  configuration: Configuration,
  entry: ServiceEntry | undefined,
  dns: DnsLookup,
): Promise<AskedMail> {
  const text = values.get("client") ?? STRANGER.address;
  if (parseIpAddress(text) === undefined) throw wrong(`--client: "${printable(text)}" is no IP address`);
  const client = canonicalAddress(text);
  const address = readAddress(recipient, configuration);
  if (address === "") throw wrong("the address is empty");
  const { name, reverseName, trouble } = await namesOf(client, values, configuration, entry, dns);
  return {
    sender: readAddress(values.get("from") ?? STRANGER.sender, configuration),
    recipient: address,
    client,
    clientName: name,
    reverseName,
    nameTrouble: trouble,
    helo: values.get("helo") ?? STRANGER.helo,
    sasl: values.get("sasl") ?? "",
  };
}

/** The client's names: as they are given, or as smtpd would find them. What nobody asked for is a stranger. */
async function namesOf(
  client: string,
  values: ReadonlyMap<string, string>,
  configuration: Configuration,
  entry: ServiceEntry | undefined,
  dns: DnsLookup,
): Promise<Names> {
  const given = values.get("client-name");
  if (given !== undefined) return { name: given, reverseName: given, trouble: false };
  const scope = entry === undefined ? configuration.scope : configuration.scopeOf(entry);
  const asks = values.has("client") && scope.value("smtpd_peername_lookup") === true;
  if (asks || isLoopback(client)) return await lookUpNames(dns, client);
  return { name: STRANGER.name, reverseName: STRANGER.name, trouble: false };
}

/** An address as MAIL and RCPT take it, with or without its brackets, in internal form. */
function readAddress(text: string, { settings }: Configuration): string {
  const written = text.startsWith("<") && text.endsWith(">");
  const bracketed = written ? text : `<${text}>`;
  const options = { strict: settings.strict_rfc821_envelopes, utf8: settings.smtputf8_enable };
  const path = parsePathArgument(encodeText(`to:${bracketed}`), "to", options);
  if (path.kind === "bad") {
    // The end of the path is where the first character stands that an address cannot have without quotes.
    const why = !written && path.why.includes(">") ? "a character that must stand in quotes" : path.why;
    throw wrong(`bad address "${printable(text)}": ${why}`);
  }
  if (path.parameters.length > 0) throw wrong(`bad address "${printable(text)}": text after the path`);
  return path.address;
}

/** The service that is named, or the first smtpd; undefined when there is none. */
function findService(configuration: Configuration, name: string | undefined): ServiceEntry | undefined {
  const found = configuration.services.find((entry) =>
    entry.command === "smtpd" && (name === undefined || entry.name === name)
  );
  if (found === undefined && name !== undefined) {
    throw wrong(`master.toml has no SMTP service "${printable(name)}"`);
  }
  return found;
}
