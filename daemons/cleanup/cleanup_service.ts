/**
 * One exchange for each message: what cleanup's clients say, and what they are told.
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
// Utility
import type { IpcClient } from "../../lib/ipc/client.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { ServerExchange } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { BadRecordError } from "../../lib/mail/record.ts";
// Server skeleton
import type { BounceClient } from "../../lib/proto/bounce_client.ts";
import { type CLEANUP, CLEANUP_STATUS, type QMGR } from "../../lib/proto/protocols.ts";
import type { LineLookup, MapLookup } from "../../lib/proto/proxymap_client.ts";
import type { RewriteClient } from "../../lib/proto/rewrite_client.ts";
// Wire protocols
import type { MilterConnect } from "../../lib/milter/milter.ts";
// Rewriting
import { AliasExpander } from "../../lib/rewrite/alias_expander.ts";
import { AddressPipeline } from "../../lib/rewrite/canonical_address.ts";
// This program
import type { InFlowDelay } from "./cleanup_flow.ts";
import { CleanupMessage, type MessageServices } from "./cleanup_message.ts";
import { LocalFilterMaker } from "./cleanup_milter_local.ts";
import type { RelayReply } from "./cleanup_milter_stream.ts";
import { QueueFileMaker } from "./cleanup_output.ts";
import { type CleanupRules, type CleanupSettings, rulesFrom } from "./cleanup_rules.ts";
import { ExpansionTrace } from "./cleanup_trace.ts";

/** Whom cleanup works with. */
export interface CleanupParts {
  readonly settings: CleanupSettings;
  readonly log: Logger;
  readonly rewrite: RewriteClient;
  readonly maps: MapLookup & LineLookup;
  readonly trace: BounceClient;
  readonly qmgr: Pick<IpcClient<typeof QMGR>, "send">;
  /** Holds messages back while mail comes in too fast; undefined: never. */
  readonly inFlow?: Pick<InFlowDelay, "wait">;
  /** Proves to qmgr that it is cleanup who speaks. */
  readonly queueKey: string;
  /** Boot id of the system. */
  readonly bootId: string;
  /** Connects to filters. */
  readonly connect: MilterConnect;
  /** Reports an error of one message; the sandbox's refusals are named as such. */
  trouble(what: string, error: unknown): void;
}

type Exchange = ServerExchange<typeof CLEANUP>;

/** Serves messages. */
export class CleanupService implements Disposable {
  readonly #parts: CleanupParts;
  readonly #rules: CleanupRules;
  readonly #maker: QueueFileMaker;
  readonly #services: MessageServices;

  constructor(parts: CleanupParts) {
    const { settings, rewrite, maps } = parts;
    this.#parts = parts;
    this.#rules = rulesFrom(settings);
    const queue = new QueueDirectory(
      settings.queue_directory,
      settings.hash_queue_names,
      settings.hash_queue_depth,
    );
    this.#maker = new QueueFileMaker(queue, settings.enable_long_queue_ids, parts.bootId);
    const whenSet = (parameter: "sender_bcc_maps" | "recipient_bcc_maps") =>
      settings[parameter].length === 0 ? undefined : maps;
    this.#services = {
      addresses: new AddressPipeline(rewrite, maps, settings, (text) => parts.log.warning(text)),
      aliases: settings.virtual_alias_maps.length === 0
        ? undefined
        : AliasExpander.from(settings, rewrite, maps),
      senderBcc: whenSet("sender_bcc_maps"),
      recipientBcc: whenSet("recipient_bcc_maps"),
      lines: maps,
      localFilters: LocalFilterMaker.from(settings, parts.log, parts.connect),
    };
  }

  [Symbol.dispose](): void {
    this.#maker[Symbol.dispose]();
  }

  /** Handles one message of an exchange. */
  handle(exchange: Exchange, message: Request<typeof CLEANUP>): void | Promise<void> {
    switch (message.is) {
      case "begin":
        return this.#guard(exchange, () => this.#admit(exchange, message.flags));
      case "records":
        return this.#guard(exchange, () => this.#open(exchange)?.take(message.records));
      case "finish":
        return this.#guard(exchange, () => this.#finish(exchange));
      case "milters": {
        const reply: RelayReply = (type, fields) => exchange.reply(type, fields);
        return this.#guard(exchange, () => (this.#open(exchange)?.lend(message, reply), undefined));
      }
      case "milterDone":
        return (exchange.state as CleanupMessage | undefined)?.taken(message.filter, message);
    }
  }

  /** Begins a message, after a while when mail comes in too fast. */
  #admit(exchange: Exchange, flags: number): Promise<void> | undefined {
    const wait = this.#parts.inFlow?.wait();
    if (wait === undefined) return this.#begin(exchange, flags);
    return wait.then(() => exchange.cancelled ? undefined : this.#begin(exchange, flags));
  }

  #begin(exchange: Exchange, flags: number): undefined {
    if (exchange.state !== undefined) throw new BadRecordError("Cannot begin message: one is under way");
    const output = this.#maker.create();
    const trace = new ExpansionTrace(this.#parts.trace);
    const made = new CleanupMessage(output, flags, this.#rules, this.#services, trace, this.#parts.log);
    exchange.state = made;
    exchange.onCancel = () => made.abandon();
    exchange.reply("queueId", { queueId: made.queueId });
  }

  /** The message of an exchange; when there is none the client is told, and what it sends goes nowhere. */
  #open(exchange: Exchange): CleanupMessage | undefined {
    const made = exchange.state as CleanupMessage | undefined;
    if (made === undefined) exchange.reply("status", { status: CLEANUP_STATUS.BAD, reason: "" });
    return made;
  }

  #finish(exchange: Exchange): undefined {
    const made = this.#open(exchange);
    const filtered = made?.filter();
    if (filtered === undefined) return this.#commit(exchange, made);
    // What the filters answer comes over the same exchange: it must not wait for this.
    filtered.then(() => {
      if (!exchange.cancelled) this.#commit(exchange, made);
    }).catch((error) => this.#failed(exchange, error));
  }

  #commit(exchange: Exchange, made: CleanupMessage | undefined): undefined {
    // Past this point a client that goes away changes nothing: the message may be committed already.
    exchange.onCancel = undefined;
    made?.finish((status, reason) => {
      // The client waits, qmgr does not.
      exchange.reply("status", { status, reason });
      if (status === CLEANUP_STATUS.OK && made.isQueued) this.#announce(made);
    }, (failure) => this.#failed(exchange, failure));
  }

  /** Tells qmgr of a message in incoming/, and its envelope if that is short, so that it need not open the file. */
  #announce(made: CleanupMessage): void {
    const { qmgr, queueKey: key } = this.#parts;
    const { queueId } = made;
    const envelope = made.envelope();
    if (envelope === undefined) qmgr.send("queued", { queueId });
    else qmgr.send("accepted", { key, queueId, ...envelope });
  }

  /** The disk's trouble is the client's 4xx; a message that cannot be read is the client's fault. */
  #guard(exchange: Exchange, work: () => Promise<void> | undefined): void | Promise<void> {
    const failed = (error: unknown) => this.#failed(exchange, error);
    try {
      return work()?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #failed(exchange: Exchange, error: unknown): void {
    if (!(error instanceof SystemError || error instanceof BadRecordError)) throw error;
    this.#parts.trouble("cannot write message", error);
    const made = exchange.state as CleanupMessage | undefined;
    exchange.state = undefined;
    exchange.onCancel = undefined;
    try {
      made?.abandon();
    } catch (second) {
      // The file stays; as it was not committed, the next start removes it.
      if (!(second instanceof SystemError)) throw second;
      this.#parts.trouble("cannot remove message", second);
    }
    const status = error instanceof SystemError ? CLEANUP_STATUS.WRITE : CLEANUP_STATUS.BAD;
    exchange.reply("status", { status, reason: "" });
  }
}
