/**
 * Answers questions about addresses, sends probes, and takes their results.
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { ServerExchange } from "../../lib/ipc/server.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { formatMailDate } from "../../lib/mail/date.ts";
import { formatTime, TRACE_MTA_VERIFY } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import { verifySender } from "../../lib/mail/verify_sender.ts";
// Internal protocols
import { type CleanupClient, submitMessage, utf8Flag } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP_INTERNAL, REASON_LIMIT, type VERIFY } from "../../lib/proto/protocols.ts";
// This program
import type { SERVICE } from "./service.ts";
import type { VerifyCache } from "./verify_cache.ts";

/** The settings of this program. */
export type VerifySettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** What the service needs. */
export interface VerifyOptions {
  readonly settings: VerifySettings;
  readonly cache: VerifyCache;
  readonly cleanup: CleanupClient;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The service. */
export class VerifyService {
  readonly #options: VerifyOptions;
  /** Addresses with a probe that was sent from here and has no result. */
  readonly #pending = new Set<string>();

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  handle(exchange: Pick<ServerExchange<typeof VERIFY>, "reply">, message: Request<typeof VERIFY>): void {
    switch (message.is) {
      case "query":
        return this.#query(exchange, message.address);
      case "update":
        return this.#update(message.address, message.status, message.text);
      default:
        message satisfies never;
    }
  }

  #query(exchange: Pick<ServerExchange<typeof VERIFY>, "reply">, address: string): void {
    const { cache, settings, now } = this.#options;
    const full = this.#pending.size >= settings.address_verify_pending_request_limit &&
      !this.#pending.has(address);
    if (full) {
      return exchange.reply("result", { status: "unknown", text: "Too many addresses are being verified" });
    }
    const { status, text, probe } = cache.ask(address, now());
    if (probe) this.#probe(address);
    exchange.reply("result", { status, text });
  }

  #update(address: string, status: "ok" | "undeliverable" | "deferred", text: string): void {
    this.#pending.delete(address);
    this.#options.cache.update(
      address,
      status,
      printable(text, Math.floor(REASON_LIMIT / 3)),
      this.#options.now(),
    );
  }

  #probe(address: string): void {
    this.#pending.add(address);
    this.#submit(address).then(
      (why) => {
        if (why !== undefined) this.#failed(address, why);
      },
      (error) => this.#failed(address, error instanceof Error ? error.message : String(error)),
    );
  }

  #failed(address: string, why: string): void {
    this.#options.log.warning(`cannot probe ${printable(address)}: ${printable(why)}`);
    this.#update(address, "deferred", why);
  }

  /** Puts a message into the queue that qmgr and the agents deliver but for the message; gives what went wrong. */
  async #submit(address: string): Promise<string | undefined> {
    const { settings, cleanup, now } = this.#options;
    const time = now();
    const flags = CLEANUP_INTERNAL | utf8Flag(settings.smtputf8_autodetect_classes, "verify");
    const done = await submitMessage(cleanup, flags, async (sink) => {
      await sink.record(RECORD.TIME, formatTime(time));
      await sink.record(RECORD.ATTRIBUTE, "log_message_origin=local");
      await sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
      await sink.record(RECORD.ATTRIBUTE, `trace_flags=${TRACE_MTA_VERIFY}`);
      await sink.record(RECORD.FROM, verifySender(settings, time));
      await sink.record(RECORD.RECIPIENT, address);
      await sink.record(RECORD.MESSAGE, "");
      await sink.line(`Received: by ${settings.myhostname} (${settings.mail_name})`);
      await sink.line(`\tid ${sink.queueId}; ${formatMailDate(time)}`);
      await sink.record(RECORD.EXTRACTED, "");
      await sink.record(RECORD.END, "");
    });
    return done.status === 0 ? undefined : done.reason || `cleanup status ${done.status}`;
  }
}
