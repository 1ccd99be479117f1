/**
 * Messages that wait in deferred/: valid queue files in the format that both systems share, each under the name that
 * its inode gives, due in an hour. They are written without syncs; nothing else about them differs from what the
 * systems write themselves after a failed attempt, but for the log of the reason in defer/.
 *
 * @module
 */
import { appendAttribute, formatSizeRecord, formatTime } from "../lib/mail/queue_file.ts";
import { hashedDirectory, makeQueueId } from "../lib/mail/queue_id.ts";
import { appendRecord, RECORD } from "../lib/mail/record.ts";
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";

/** hash_queue_depth of both. */
const DEPTH = 1;
/** When the messages are due, seconds from now. */
const DUE = 3600;
/** After so many files others get their turn. */
const BATCH = 500;
const READY = 0o700;
/** More than a file takes, bytes. */
const FILE_LIMIT = 16384;

/** The message's lines, some 1 KiB. */
const LINES: readonly string[] = [
  "Received: by bench.test (Postfix, from userid 0); Thu,  1 Jan 2026 00:00:00 +0000 (UTC)",
  "From: <me@bench.test>",
  "To: <later@far.test>",
  "Subject: waiting",
  "",
  ...Array.from({ length: 14 }, () => "X".repeat(70)),
];

/** A queue file's bytes. */
export function deferredMessage(arrival: number): Uint8Array {
  const content = new ByteBuilder(FILE_LIMIT);
  for (const line of LINES) appendRecord(content, RECORD.NORMAL, line);
  const size = { contentSize: content.length, recipientCount: 1, qmgrFlags: 0, sendOptions: 0 };
  const contentLength = LINES.reduce((total, line) => total + line.length + 1, 0);
  // The envelope's length does not depend on the numbers in the size record, which have a fixed width.
  const { length } = envelope(arrival, { ...size, dataOffset: 0, contentLength });
  const whole = envelope(arrival, { ...size, dataOffset: length, contentLength });
  whole.bytes(content.view());
  appendRecord(whole, RECORD.EXTRACTED, "");
  appendRecord(whole, RECORD.END, "");
  return whole.copy();
}

function envelope(arrival: number, size: Parameters<typeof formatSizeRecord>[0]): ByteBuilder {
  const out = new ByteBuilder(FILE_LIMIT);
  appendRecord(out, RECORD.SIZE, formatSizeRecord(size));
  appendRecord(out, RECORD.TIME, formatTime(arrival));
  appendAttribute(out, "create_time", String(Math.floor(arrival / 1000)));
  appendAttribute(out, "rewrite_context", "local");
  appendRecord(out, RECORD.FROM, "me@bench.test");
  appendRecord(out, RECORD.ORIGINAL, "later@far.test");
  appendRecord(out, RECORD.RECIPIENT, "later@far.test");
  appendRecord(out, RECORD.MESSAGE, "");
  return out;
}

/**
 * Writes messages into a queue's deferred/, as the owner of that directory.
 *
 * @param queue queue_directory
 */
export async function writeDeferred(queue: string, count: number, signal: AbortSignal): Promise<void> {
  const deferred = `${queue}/deferred`;
  const { uid, gid } = Deno.statSync(deferred);
  for (const digit of "0123456789ABCDEF") {
    Deno.mkdirSync(`${deferred}/${digit}`, { recursive: true, mode: 0o700 });
    Deno.chownSync(`${deferred}/${digit}`, uid, gid);
  }
  const now = Date.now();
  const message = deferredMessage(now);
  // Beside the queue, where no scan sees a file before it has its name and its time.
  const unnamed = `${queue}.unnamed`;
  for (let i = 0; i < count; i++) {
    {
      using file = Deno.openSync(unnamed, { write: true, createNew: true, mode: READY });
      file.writeSync(message);
      file.utimeSync(now / 1000 + DUE, now / 1000 + DUE);
    }
    Deno.chownSync(unnamed, uid, gid);
    const id = makeQueueId((i * 7919) % 1_000_000, Deno.statSync(unnamed).ino!, false);
    Deno.renameSync(unnamed, `${deferred}/${hashedDirectory(id, DEPTH)}/${id}`);
    if (i % BATCH > 0) continue;
    await new Promise((resolve) => setTimeout(resolve));
    signal.throwIfAborted();
  }
}
