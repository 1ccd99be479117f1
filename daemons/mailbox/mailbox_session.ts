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

/** Seconds that an agent may be silent in mid-message: an mbox stays locked for all others meanwhile. */
export const SILENCE_LIMIT = 120;

/** What a handler needs beside the mailbox. */
export interface MailboxHandlerOptions {
  /** Reason of a successful delivery, for the log. */
  readonly delivered: string;
  /** Told of what the sandbox refused: a security event. */
  readonly refused: (error: unknown) => void;
  /** Seconds (SILENCE_LIMIT). */
  readonly silenceLimit: number;
}

/** Makes the handler that writes one mailbox. */
export function mailboxHandler(mailbox: Mailbox, options: MailboxHandlerOptions): Handler<typeof MAILBOX> {
  return (exchange, message) => {
    if (message.is === "begin") {
      if (exchange.state !== undefined) throw new CodecError("Cannot begin delivery: one is under way");
      const session = new DeliverySession(mailbox, options);
      exchange.state = session;
      exchange.onCancel = () => session.cancel();
      return session.begin(message.sender);
    }
    const session = sessionOf(exchange);
    if (message.is === "content") return session.write(message.content);
    return session.finish().then((outcome) => exchange.reply("outcome", outcome));
  };
}

function sessionOf(exchange: ServerExchange<typeof MAILBOX>): DeliverySession {
  if (exchange.state instanceof DeliverySession) return exchange.state;
  throw new CodecError("Cannot deliver: no delivery was begun");
}

/** One delivery. */
class DeliverySession {
  readonly #mailbox: Mailbox;
  readonly #options: MailboxHandlerOptions;
  #delivery: MailboxDelivery | undefined;
  #failure: MailboxOutcome | undefined;
  #cancelled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(mailbox: Mailbox, options: MailboxHandlerOptions) {
    this.#mailbox = mailbox;
    this.#options = options;
  }

  async begin(sender: string): Promise<void> {
    try {
      const delivery = await this.#mailbox.begin(sender);
      // The agent may have gone while we waited for a lock.
      if (this.#cancelled) delivery.abort();
      else {
        this.#delivery = delivery;
        this.#listen();
      }
    } catch (error) {
      this.#failure = this.#failed(error);
    }
  }

  write(content: Uint8Array): void {
    if (this.#delivery === undefined) return;
    this.#listen();
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
    clearTimeout(this.#timer);
    if (delivery === undefined) return this.#failure ?? outcomeOf("4.3.0", "Delivery was cancelled");
    try {
      await delivery.finish();
      return outcomeOf("2.0.0", this.#options.delivered);
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
    clearTimeout(this.#timer);
    delivery?.abort();
  }

  /** Starts the wait for the agent's next word anew. */
  #listen(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#fail(outcomeOf("4.3.0", `Delivery agent was silent for ${this.#options.silenceLimit} seconds`));
    }, this.#options.silenceLimit * 1000);
  }
}
