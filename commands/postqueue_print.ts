/**
 * The queue's listing on paper: Postfix's table, and one JSON object per line.
 *
 * @module
 */
// Utility
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../lib/mail/address.ts";
import { formatQueueDate } from "../lib/mail/date.ts";

/** A message of the listing, or a further piece of the one before it. */
export interface PrintedMessage {
  readonly queueName: string;
  readonly queueId: string;
  /** Milliseconds since 1970. */
  readonly arrivalTime: number;
  readonly size: number;
  readonly forcedExpire: boolean;
  readonly sender: string;
  readonly recipients: readonly {
    readonly address: string;
    readonly originalRecipient: string;
    readonly delayReason: string;
    readonly bounceReason: string;
  }[];
}

/** Takes the listing's pieces in their order. */
export interface QueuePrinter {
  message(message: PrintedMessage): void;
  end(): void;
}

/** The columns of one style of listing. */
interface Columns {
  readonly header: string;
  readonly id: number;
  readonly size: number;
  readonly date: number;
}

const SHORT: Columns = {
  header: "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n",
  id: 11,
  size: 7,
  date: 20,
};
/** For enable_long_queue_ids. */
const LONG: Columns = {
  header: "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n",
  id: 17,
  size: 8,
  date: 19,
};
/** Reasons end at this column, parentheses not counted. */
const REASON_COLUMN = 76;
const ADDRESS_WIDTH = 1024;
const REASON_WIDTH = 4096;

/** What tells one message from the next. */
function identity(message: PrintedMessage): string {
  return `${message.queueName}/${message.queueId}`;
}

/** The table that `postqueue -p` prints. */
export class TablePrinter implements QueuePrinter {
  readonly #columns: Columns;
  readonly #nullSender: string;
  readonly #out: (text: string) => void;
  #current = "";
  #count = 0;
  #bytes = 0;
  #reason = "";

  /** @param nullSender what stands for an empty address (empty_address_recipient) */
  constructor(longIds: boolean, nullSender: string, out: (text: string) => void) {
    this.#columns = longIds ? LONG : SHORT;
    this.#nullSender = nullSender;
    this.#out = out;
  }

  message(message: PrintedMessage): void {
    const current = identity(message);
    let text = "";
    if (current !== this.#current) {
      this.#current = current;
      this.#reason = "";
      text += this.#count === 0 ? this.#columns.header : "\n";
      text += this.#row(message);
      this.#count++;
      this.#bytes += message.size;
    }
    for (const recipient of message.recipients) {
      text += this.#reasonLine(recipient.delayReason || recipient.bounceReason);
      const { id, size, date } = this.#columns;
      text += `${" ".repeat(id + size + date + 3)}${this.#address(recipient.address)}\n`;
    }
    this.#out(text);
  }

  end(): void {
    if (this.#count === 0) return this.#out("Mail queue is empty\n");
    const kilobytes = Math.floor(this.#bytes / 1024);
    this.#out(`\n-- ${kilobytes} Kbytes in ${this.#count} Request${this.#count === 1 ? "" : "s"}.\n`);
  }

  #row(message: PrintedMessage): string {
    const mark = message.forcedExpire
      ? "#"
      : message.queueName === "active"
      ? "*"
      : message.queueName === "hold"
      ? "!"
      : "";
    const id = (printable(message.queueId) + mark).padEnd(this.#columns.id);
    const size = String(message.size).padStart(this.#columns.size);
    const date = formatQueueDate(message.arrivalTime).padEnd(this.#columns.date);
    return `${id} ${size} ${date} ${this.#address(message.sender)}\n`;
  }

  /** A reason is printed once for the recipients that follow each other with it. */
  #reasonLine(reason: string): string {
    if (reason === this.#reason) return "";
    this.#reason = reason;
    const shown = printable(reason === "" ? "reason unavailable" : reason, REASON_WIDTH);
    return `${" ".repeat(Math.max(0, REASON_COLUMN - shown.length))}(${shown})\n`;
  }

  #address(address: string): string {
    return printable(address === "" ? this.#nullSender : quoteAddress(address), ADDRESS_WIDTH);
  }
}

/** One object per line, as `postqueue -j` prints them. */
export class JsonPrinter implements QueuePrinter {
  readonly #nullSender: string;
  readonly #out: (text: string) => void;
  #current = "";
  #first = true;

  constructor(nullSender: string, out: (text: string) => void) {
    this.#nullSender = nullSender;
    this.#out = out;
  }

  message(message: PrintedMessage): void {
    const current = identity(message);
    let text = "";
    if (current !== this.#current) {
      text += this.#close();
      this.#current = current;
      this.#first = true;
      text += `{"queue_name": ${quote(message.queueName)}, "queue_id": ${quote(message.queueId)}, ` +
        `"arrival_time": ${Math.floor(message.arrivalTime / 1000)}, "message_size": ${message.size}, ` +
        `"forced_expire": ${message.forcedExpire}, "sender": ${
          this.#address(message.sender)
        }, "recipients": [`;
    }
    for (const recipient of message.recipients) {
      text += `${this.#first ? "" : ", "}{`;
      this.#first = false;
      if (recipient.originalRecipient !== "") {
        text += `"orig_address": ${this.#address(recipient.originalRecipient)}, `;
      }
      text += `"address": ${this.#address(recipient.address)}`;
      if (recipient.delayReason !== "") text += `, "delay_reason": ${quote(recipient.delayReason)}`;
      else if (recipient.bounceReason !== "") text += `, "bounce_reason": ${quote(recipient.bounceReason)}`;
      text += "}";
    }
    this.#out(text);
  }

  end(): void {
    this.#out(this.#close());
  }

  #close(): string {
    return this.#current === "" ? "" : "]}\n";
  }

  #address(address: string): string {
    return quote(address === "" ? this.#nullSender : quoteAddress(address));
  }
}

function quote(text: string): string {
  return JSON.stringify(printable(text, REASON_WIDTH));
}
