/**
 * Policy servers (SMTPD_POLICY_README): a request is lines `name=value` and an empty line, the answer `action=...` and an
 * empty line. Connections are kept; a server is asked over as many at once as there are questions.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { decodeText, encodeText, isUtf8 } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import { encodeXtext } from "../mail/xtext.ts";
// Tables
import { ReplyError, type ReplyReader, RequestStream } from "../table/request_stream.ts";
import { targetText } from "../table/server_target.ts";
import type { TableServers } from "../table/servers.ts";
// Access
import type { Question } from "./policy.ts";
import { parsePolicyServer, type PolicyServerRule, type PolicySettings } from "./policy_server_rule.ts";

/** Most connections to one server. */
const CONNECTION_LIMIT = 100;
/** Longest line of an answer, bytes, and most lines of one. */
const LINE_LIMIT = 8192;
const LINES_LIMIT = 100;
/** Longest value that a server is told, UTF-16 units. */
const VALUE_LIMIT = 2000;

/** How servers are reached. */
export type PolicyConnections = Pick<TableServers, "stream">;

/** The servers that the configuration names. */
export class PolicyServers {
  readonly #settings: PolicySettings;
  readonly #queueDirectory: string;
  readonly #connections: PolicyConnections;
  readonly #log: Pick<Logger, "warning">;
  readonly #servers = new Map<string, PolicyServer | undefined>();

  constructor(
    settings: PolicySettings & { readonly queue_directory: string },
    connections: PolicyConnections,
    log: Pick<Logger, "warning">,
  ) {
    this.#settings = settings;
    this.#queueDirectory = settings.queue_directory;
    this.#connections = connections;
    this.#log = log;
  }

  /** The action that a server answers, or what is done instead when it does not. */
  async ask(text: string, question: Question): Promise<string> {
    const server = this.#server(text);
    if (server === undefined) return this.#settings.smtpd_policy_service_default_action;
    return await server.ask(question) ?? server.rule.defaultAction;
  }

  #server(text: string): PolicyServer | undefined {
    if (this.#servers.has(text)) return this.#servers.get(text);
    const parsed = parsePolicyServer(text, this.#settings, this.#queueDirectory);
    const server = parsed.kind === "rule"
      ? new PolicyServer(parsed.rule, this.#connections, this.#log)
      : undefined;
    if (parsed.kind === "bad") this.#log.warning(`policy server ${printable(text)}: ${parsed.why}`);
    this.#servers.set(text, server);
    return server;
  }
}

/** One connection, and how often it was used since it was opened. */
interface Slot {
  readonly stream: RequestStream;
  busy: number;
  used: number;
}

class PolicyServer {
  readonly rule: PolicyServerRule;
  readonly #connections: PolicyConnections;
  readonly #log: Pick<Logger, "warning">;
  readonly #slots: Slot[] = [];

  constructor(rule: PolicyServerRule, connections: PolicyConnections, log: Pick<Logger, "warning">) {
    this.rule = rule;
    this.#connections = connections;
    this.#log = log;
  }

  /** The action, or undefined when the server cannot be asked. */
  async ask(question: Question): Promise<string | undefined> {
    const request = encodeText(policyRequest(question, this.rule.policyContext));
    const where = targetText(this.rule.target);
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#askOnce(request);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#log.warning(`problem talking to server ${where}: ${printable(why)}`);
      }
      if (attempt >= this.rule.tryLimit) return undefined;
      await new Promise((resolve) => setTimeout(resolve, this.rule.retryDelay * 1000));
    }
  }

  async #askOnce(request: Uint8Array): Promise<string> {
    const slot = this.#slot();
    slot.busy++;
    try {
      const action = await slot.stream.ask(request, readAction);
      slot.used++;
      if (this.rule.requestLimit > 0 && slot.used >= this.rule.requestLimit) {
        slot.stream.close();
        slot.used = 0;
      }
      return action;
    } finally {
      slot.busy--;
    }
  }

  /** A connection that nobody uses, or the one with the shortest queue. */
  #slot(): Slot {
    const least = this.#slots.reduce<Slot | undefined>(
      (best, slot) => best === undefined || slot.busy < best.busy ? slot : best,
      undefined,
    );
    if (least !== undefined && (least.busy === 0 || this.#slots.length >= CONNECTION_LIMIT)) return least;
    const { target, timeout, maxIdle, maxTtl } = this.rule;
    const times = { request: timeout * 1000, idle: maxIdle * 1000, life: maxTtl * 1000 };
    const stream = new RequestStream(this.#connections, target, times);
    const slot = { stream, busy: 0, used: 0 };
    this.#slots.push(slot);
    return slot;
  }
}

/** Reads `action=...` and the empty line behind it. */
async function readAction(reader: ReplyReader): Promise<string> {
  let action: string | undefined;
  for (let count = 0; count < LINES_LIMIT; count++) {
    const line = await reader.line(LINE_LIMIT);
    if (line.length === 0) {
      if (action === undefined || action === "") throw new ReplyError("answer without an action");
      return action;
    }
    if (!isUtf8(line)) throw new ReplyError("malformed UTF-8 in an answer");
    const text = decodeText(line);
    if (!text.startsWith("action=")) {
      throw new ReplyError(`unexpected attribute ${printable(text)} in an answer`);
    }
    action = text.slice("action=".length);
  }
  throw new ReplyError(`answer of more than ${LINES_LIMIT} lines`);
}

/** The request, in Postfix's words and order. */
export function policyRequest(question: Question, policyContext: string): string {
  const { peer, tls, sasl } = question;
  const certificate = tls?.certificate;
  const trusted = certificate?.trusted === true ? certificate : undefined;
  const attributes: readonly (readonly [string, string | number | undefined])[] = [
    ["request", "smtpd_access_policy"],
    ["protocol_state", question.stage],
    ["protocol_name", question.protocol],
    ["client_address", peer.address],
    ["client_name", peer.name],
    ["client_port", peer.port],
    ["reverse_client_name", peer.reverseName],
    ["server_address", peer.serverAddress],
    ["server_port", peer.serverPort],
    ["helo_name", question.helo],
    ["sender", question.sender],
    ["recipient", question.recipient],
    ["recipient_count", question.recipientCount],
    ["queue_id", question.queueId],
    ["instance", question.instance],
    ["size", question.size],
    ["etrn_domain", question.etrnDomain],
    ["stress", ""],
    ["sasl_method", sasl?.method],
    ["sasl_username", sasl?.username],
    ["sasl_sender", question.saslSender],
    ["ccert_subject", encodeXtext(trusted?.subject ?? "")],
    ["ccert_issuer", encodeXtext(trusted?.issuer ?? "")],
    ["ccert_fingerprint", certificate?.fingerprint],
    ["ccert_pubkey_fingerprint", certificate?.keyFingerprint],
    ["encryption_protocol", tls?.protocol],
    ["encryption_cipher", tls?.cipher],
    ["encryption_keysize", tls?.bits ?? 0],
    ["policy_context", policyContext],
  ];
  // A line end in a value would be a second attribute.
  const lines = attributes.map(([name, value]) => `${name}=${printable(String(value ?? ""), VALUE_LIMIT)}\n`);
  return `${lines.join("")}\n`;
}
