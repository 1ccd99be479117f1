/** Queue files and a cleanup that keeps what it gets. Not a test itself. @module */
import type { Handler } from "../../lib/ipc/server.ts";
import { appendAttribute, formatSizeRecord, formatTime } from "../../lib/mail/queue_file.ts";
import { appendRecord, RECORD, RecordCursor } from "../../lib/mail/record.ts";
import { CLEANUP, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import { ByteBuilder, decodeText } from "../../lib/vstring/byte_builder.ts";

/** What a queue file is made from. */
export interface MessageParts {
  readonly sender?: string;
  readonly recipients?:
    readonly (string | { readonly address: string; readonly original: string; readonly done?: true })[];
  readonly lines?: readonly (string | Uint8Array)[];
  readonly attributes?: Readonly<Record<string, string>>;
  /** Milliseconds. */
  readonly time?: number;
  /** What the size record says in place of the truth. */
  readonly claimedLength?: number;
}

/** The bytes of a queue file, as cleanup writes one. */
export function queueFile(parts: MessageParts = {}): Uint8Array<ArrayBuffer> {
  const time = parts.time ?? 1_795_413_368_123;
  const envelope = new ByteBuilder(1 << 24);
  appendRecord(envelope, RECORD.TIME, formatTime(time));
  appendAttribute(envelope, "create_time", String(Math.floor(time / 1000)));
  for (const [name, value] of Object.entries(parts.attributes ?? { rewrite_context: "local" })) {
    appendAttribute(envelope, name, value);
  }
  appendRecord(envelope, RECORD.FROM, parts.sender ?? "sender@example.test");
  for (const recipient of parts.recipients ?? ["to@example.test"]) {
    if (typeof recipient === "string") appendRecord(envelope, RECORD.RECIPIENT, recipient);
    else {
      if (recipient.original !== "") appendRecord(envelope, RECORD.ORIGINAL, recipient.original);
      appendRecord(envelope, recipient.done ? RECORD.DONE : RECORD.RECIPIENT, recipient.address);
    }
  }
  appendRecord(envelope, RECORD.MESSAGE, "");
  const content = new ByteBuilder(1 << 26);
  for (const line of parts.lines ?? ["Subject: test", "", "Hello"]) {
    appendRecord(content, RECORD.NORMAL, line);
  }
  const sizeLength = 97;
  const out = new ByteBuilder(1 << 26);
  appendRecord(
    out,
    RECORD.SIZE,
    formatSizeRecord({
      contentSize: content.length,
      dataOffset: sizeLength + envelope.length,
      recipientCount: parts.recipients?.length ?? 1,
      qmgrFlags: 0,
      contentLength: parts.claimedLength ?? content.length,
      sendOptions: 0,
    }),
  );
  out.bytes(envelope.view()).bytes(content.view());
  appendRecord(out, RECORD.EXTRACTED, "");
  appendRecord(out, RECORD.END, "");
  return out.copy();
}

/** A message that cleanup was given. */
export interface TakenMessage {
  readonly queueId: string;
  readonly flags: number;
  readonly sender: string;
  readonly recipients: string[];
  readonly attributes: string[];
  /** Letters of its records, text records left out. */
  readonly order: string;
  /** Content, a line each. */
  readonly lines: string[];
  readonly bytes: Uint8Array;
}

/** Stands in for cleanup: it takes records as ours does, and keeps them. */
export class KeepingCleanup {
  readonly messages: TakenMessage[] = [];
  /** Messages that were broken off. */
  cancelled = 0;
  /** What the next messages are answered with. */
  status: number = CLEANUP_STATUS.OK;
  reason = "";
  /** Answers after this many bytes, before the end of the message. */
  answerAfter = Infinity;
  #next = 1;

  readonly handler: Handler<typeof CLEANUP> = (exchange, message) => {
    const state = exchange.state as
      | { id: string; flags: number; bytes: ByteBuilder; over: boolean }
      | undefined;
    switch (message.is) {
      case "begin": {
        const id = `NEW${this.#next++}`;
        exchange.state = { id, flags: message.flags, bytes: new ByteBuilder(1 << 28), over: false };
        exchange.onCancel = () => void this.cancelled++;
        exchange.reply("queueId", { queueId: id });
        return;
      }
      case "records":
        if (state!.over) return;
        state!.bytes.bytes(message.records);
        if (state!.bytes.length < this.answerAfter) return;
        state!.over = true;
        exchange.reply("status", { status: this.status, reason: this.reason });
        return;
      case "finish":
        if (this.status === CLEANUP_STATUS.OK) {
          this.messages.push(read(state!.id, state!.flags, state!.bytes.copy()));
        }
        exchange.reply("status", { status: this.status, reason: this.reason });
        return;
      case "milters":
      case "milterDone":
        throw new Error("whoever is tested with this has no filters");
      default:
        message satisfies never;
    }
  };
}

function read(queueId: string, flags: number, bytes: Uint8Array): TakenMessage {
  const taken: TakenMessage & { sender: string; order: string } = {
    queueId,
    flags,
    sender: "",
    recipients: [],
    attributes: [],
    order: "",
    lines: [],
    bytes,
  };
  const cursor = new RecordCursor(bytes);
  let partial = "";
  while (cursor.next()) {
    const text = decodeText(cursor.data);
    if (cursor.type === RECORD.NORMAL) {
      taken.lines.push(partial + text);
      partial = "";
      continue;
    }
    if (cursor.type === RECORD.CONTINUED) {
      partial += text;
      continue;
    }
    taken.order += String.fromCharCode(cursor.type);
    if (cursor.type === RECORD.FROM) taken.sender = text;
    if (cursor.type === RECORD.RECIPIENT) taken.recipients.push(text);
    if (cursor.type === RECORD.ATTRIBUTE) taken.attributes.push(text);
  }
  return taken;
}
