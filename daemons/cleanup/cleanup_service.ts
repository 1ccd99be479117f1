/**
 * One exchange for each message: what cleanup's clients say, and what they are told.
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import type { Settings } from "../../lib/config/parameters.ts";
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
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
import type { RewriteClient } from "../../lib/proto/rewrite_client.ts";
// This program
import type { InFlowDelay } from "./cleanup_flow.ts";
import { CleanupMessage, type CleanupRules } from "./cleanup_message.ts";
import { QueueFileMaker } from "./cleanup_output.ts";
import { AddressPipeline } from "./cleanup_recipient.ts";
import { ExpansionTrace } from "./cleanup_trace.ts";
import type { SERVICE } from "./service.ts";

/** The settings that cleanup is told. */
export type CleanupSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Whom cleanup works with. */
export interface CleanupParts {
  readonly settings: CleanupSettings;
  readonly log: Logger;
  readonly rewrite: RewriteClient;
  readonly maps: MapLookup;
  readonly trace: BounceClient;
  readonly qmgr: Pick<IpcClient<typeof QMGR>, "send">;
  /** Holds messages back while mail comes in too fast; undefined: never. */
  readonly inFlow?: Pick<InFlowDelay, "wait">;
  /** Proves to qmgr that it is cleanup who speaks. */
  readonly queueKey: string;
  /** Boot id of the system. */
  readonly bootId: string;
  /** Reports an error of one message; the sandbox's refusals are named as such. */
  trouble(what: string, error: unknown): void;
}

type Exchange = ServerExchange<typeof CLEANUP>;

function rulesFrom(settings: CleanupSettings): CleanupRules {
  return {
    alwaysAddMissingHeaders: settings.always_add_missing_headers,
    duplicateFilterLimit: settings.duplicate_filter_limit,
    longIds: settings.enable_long_queue_ids,
    originalRecipient: settings.enable_original_recipient,
    headerTokenLimit: settings.header_address_token_limit,
    fromFormat: settings.header_from_format as "standard" | "obsolete",
    headerSizeLimit: settings.header_size_limit,
    hopcountLimit: settings.hopcount_limit,
    lineLengthLimit: settings.line_length_limit,
    dropHeaders: new Set(settings.message_drop_headers.map((name) => asciiLower(name))),
    messageSizeLimit: settings.message_size_limit,
    delayWarningTime: settings.delay_warning_time,
    hostName: settings.myhostname,
    undisclosedRecipients: settings.undisclosed_recipients_header,
    verpFilter: settings.verp_delimiter_filter,
  };
}

/** Serves messages. */
export class CleanupService implements Disposable {
  readonly #parts: CleanupParts;
  readonly #rules: CleanupRules;
  readonly #maker: QueueFileMaker;
  readonly #addresses: AddressPipeline;

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
    const limits = {
      expansion: settings.virtual_alias_expansion_limit,
      recursion: settings.virtual_alias_recursion_limit,
      length: settings.virtual_alias_address_length_limit,
    };
    const aliases = settings.virtual_alias_maps.length === 0 ? undefined : maps;
    const propagate = settings.propagate_unmatched_extensions.includes("virtual");
    this.#addresses = new AddressPipeline(rewrite, aliases, limits, propagate);
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
    const made = new CleanupMessage(output, flags, this.#rules, this.#addresses, trace, this.#parts.log);
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
    // Past this point a client that goes away changes nothing: the message may be committed already.
    exchange.onCancel = undefined;
    made?.finish((status, reason) => {
      if (status === CLEANUP_STATUS.OK) this.#announce(made);
      exchange.reply("status", { status, reason });
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
