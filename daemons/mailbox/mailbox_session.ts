/**
 * One delivery as the helper sees it: begin, text, finish. A failure on the way is kept and told at the end, so that
 * the agent's text that is still under way meets an exchange that knows it.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal } from "../../lib/safe/error.ts";
// Mail
import { failedDelivery, type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
import { type Mailbox, type MailboxDelivery } from "../../lib/mail/mailbox_writer.ts";
// Wire protocols
import { CodecError } from "../../lib/ipc/codec.ts";
import { type Handler, type ServerExchange } from "../../lib/ipc/server.ts";
import { type MAILBOX } from "../../lib/proto/protocols.ts";
// This program
import { type FilesOptions, replyFile } from "./mailbox_files.ts";
import { type MailboxFormat, type OpenMailbox } from "./mailbox_place.ts";

/** Seconds that an agent may be silent in mid-message: an mbox stays locked for all others meanwhile. */
export const SILENCE_LIMIT = 120;

/** What a handler needs beside the mailboxes. */
export interface MailboxHandlerOptions {
  /** Told of what the sandbox refused: a security event. */
  readonly refused: (error: unknown) => void;
  /** Seconds (SILENCE_LIMIT). */
  readonly silenceLimit: number;
}

/** Reason of a successful delivery, for the log. */
const DELIVERED = { mbox: "delivered to mailbox", maildir: "delivered to maildir" } as const;

/**
 * Makes the handler that writes the mailboxes which `open` gives.
 *
 * @param files what it reads as well
 */
export function mailboxHandler(
  open: OpenMailbox,
  options: MailboxHandlerOptions,
  files?: FilesOptions,
): Handler<typeof MAILBOX> {
  const silence = new SilenceWatch(options.silenceLimit);
  return (exchange, message) => {
    if (message.is === "read") {
      if (files === undefined) throw new CodecError("Cannot read file: this helper has none");
      return replyFile(exchange, files);
    }
    if (message.is === "begin") {
      if (exchange.state !== undefined) throw new CodecError("Cannot begin delivery: one is under way");
      const session = new DeliverySession(
        () => open(message.path, message.format),
        message.format,
        options,
        silence,
      );
      exchange.state = session;
      exchange.onCancel = () => session.cancel();
      return session.begin(message.sender);
    }
    const session = sessionOf(exchange);
    if (message.is === "content") return session.write(message.content);
    if (message.is !== "finish") throw new CodecError("Cannot take request: this helper writes a mailbox");
    return session.finish().then((outcome) => exchange.reply("outcome", outcome));
  };
}

function sessionOf(exchange: ServerExchange<typeof MAILBOX>): DeliverySession {
  if (exchange.state instanceof DeliverySession) return exchange.state;
  throw new CodecError("Cannot deliver: no delivery was begun");
}

/** One delivery. */
class DeliverySession {
  readonly #open: () => Mailbox;
  readonly #format: MailboxFormat;
  readonly #options: MailboxHandlerOptions;
  #delivery: MailboxDelivery | undefined;
  #failure: MailboxOutcome | undefined;
  #cancelled = false;
  readonly #silence: SilenceWatch;
  /** Milliseconds, when the agent was last heard. */
  lastHeard = 0;

  constructor(
    open: () => Mailbox,
    format: MailboxFormat,
    options: MailboxHandlerOptions,
    silence: SilenceWatch,
  ) {
    this.#silence = silence;
    this.#open = open;
    this.#format = format;
    this.#options = options;
  }

  async begin(sender: string): Promise<void> {
    try {
      const delivery = await this.#open().begin(sender);
      // The agent may have gone while we waited for a lock.
      if (this.#cancelled) delivery.abort();
      else {
        this.#delivery = delivery;
        this.lastHeard = performance.now();
        this.#silence.add(this);
      }
    } catch (error) {
      if (error instanceof CodecError) throw error;
      this.#failure = this.#failed(error);
    }
  }

  write(content: Uint8Array): void {
    if (this.#delivery === undefined) return;
    this.lastHeard = performance.now();
    try {
      this.#delivery.write(content);
    } catch (error) {
      this.#fail(this.#failed(error));
    }
  }

  /** Makes the message part of the mailbox and says what became of it. */
  async finish(): Promise<MailboxOutcome> {
    const delivery = this.#delivery;
    // From here on it is the writer's: a cancel comes too late.
    this.#delivery = undefined;
    this.#silence.remove(this);
    if (delivery === undefined) return this.#failure ?? outcomeOf("4.3.0", "Delivery was cancelled");
    try {
      await delivery.finish();
      return outcomeOf("2.0.0", DELIVERED[this.#format]);
    } catch (error) {
      return this.#failed(error);
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#fail(outcomeOf("4.3.0", "Delivery was cancelled"));
  }

  #failed(error: unknown): MailboxOutcome {
    if (isSandboxRefusal(error)) this.#options.refused(error);
    return failedDelivery(error);
  }

  #fail(outcome: MailboxOutcome): void {
    this.#failure ??= outcome;
    const delivery = this.#delivery;
    this.#delivery = undefined;
    this.#silence.remove(this);
    delivery?.abort();
  }

  /** The agent said nothing for too long. */
  expire(): void {
    this.#fail(outcomeOf("4.3.0", `Delivery agent was silent for ${this.#options.silenceLimit} seconds`));
  }
}

/** Ends deliveries whose agent went silent: one timer for all, as one for each message would cost more than its file. */
class SilenceWatch {
  readonly #limit: number;
  readonly #sessions = new Set<DeliverySession>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param limit seconds */
  constructor(limit: number) {
    this.#limit = limit * 1000;
  }

  add(session: DeliverySession): void {
    this.#sessions.add(session);
    this.#timer ??= setTimeout(() => this.#look(), this.#limit);
  }

  remove(session: DeliverySession): void {
    this.#sessions.delete(session);
  }

  #look(): void {
    const now = performance.now();
    let next = Infinity;
    for (const session of this.#sessions) {
      const left = session.lastHeard + this.#limit - now;
      if (left <= 0) session.expire();
      else next = Math.min(next, left);
    }
    this.#timer = next === Infinity ? undefined : setTimeout(() => this.#look(), next);
  }
}
