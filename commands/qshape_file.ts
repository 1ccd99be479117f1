/**
 * Reads of a queue file what its place in the table needs: time, sender, recipients that are left.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { listDirectory, lookAt, safeOpen } from "../lib/safe/file.ts";
// Utility
import { isAlnum, parseDecimal, trimBlanks } from "../lib/vstring/ascii.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { QUEUE_FILE_READY } from "../lib/mail/queue_directory.ts";
import { EnvelopeReader } from "../lib/mail/queue_file.ts";
import { BadRecordError, type ReadAt, RECORD, RecordReader } from "../lib/mail/record.ts";

/** A message, as far as it counts. */
export interface MessageShape {
  /** Arrival, seconds since 1970. */
  readonly time: number;
  readonly sender: string;
  /** Not empty. */
  readonly recipients: readonly string[];
}

/** Permission bits that tell a complete file: the owner's three, and neither writing nor executing for others. */
const MODE_MASK = 0o733;
const NAME_LEAST = 6;
const BATCH = 1000;
/** Deepest subdirectory that is looked into. */
const DEPTH_LIMIT = 32;

/** Paths of the files below a queue's folder whose names may be queue ids. */
export function* queueFiles(folder: string, depth = 0): Generator<string> {
  for (const name of listDirectory(folder)) {
    const path = `${folder}/${name}`;
    if (isQueueName(name) && lookAt(path)?.kind === "file") yield path;
    else if (depth < DEPTH_LIMIT && lookAt(path)?.kind === "directory") yield* queueFiles(path, depth + 1);
  }
}

function isQueueName(name: string): boolean {
  if (name.length < NAME_LEAST) return false;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 0x7f || !isAlnum(unit)) return false;
  }
  return true;
}

/** Reads a file; undefined for what is no complete message, or has nobody left. */
export function readShape(path: string): MessageShape | undefined {
  try {
    const opened = safeOpen(path, { access: "read" });
    if (opened.kind !== "opened") return undefined;
    using file = opened.file;
    const { mode, modified } = file.stat();
    if ((mode & MODE_MASK) !== QUEUE_FILE_READY) return undefined;
    const readAt: ReadAt = (buffer, offset) => file.read(buffer, offset);
    const first = new Uint8Array(1);
    if (file.read(first, 0) === 0) return undefined;
    const shape = first[0] === RECORD.SIZE ? readQueued(readAt) : readPosted(readAt, modified);
    return shape.recipients.length === 0 ? undefined : shape;
  } catch (error) {
    // Files come, go and are written while we look.
    if (error instanceof BadRecordError || error instanceof SystemError) return undefined;
    throw error;
  }
}

function readQueued(readAt: ReadAt): MessageShape {
  const reader = new EnvelopeReader(readAt);
  const recipients: string[] = [];
  while (!reader.finished) recipients.push(...reader.recipients(BATCH).map(({ address }) => address));
  const { arrivalTime, sender } = reader.envelope();
  return { time: Math.floor(arrivalTime / 1000), sender, recipients };
}

/** A local submission: recipients stand before the content, and behind it those of `sendmail -t`. */
function readPosted(readAt: ReadAt, modified: number): MessageShape {
  const reader = new RecordReader(readAt);
  let time = modified;
  let sender: string | undefined;
  const recipients: string[] = [];
  while (reader.next()) {
    const { type } = reader;
    if (type === RECORD.TIME) {
      const [seconds = ""] = trimBlanks(decodeText(reader.data)).split(" ");
      time = (parseDecimal(seconds) ?? modified / 1000) * 1000;
    } else if (type === RECORD.FROM) sender = decodeText(reader.data);
    else if (type === RECORD.RECIPIENT) recipients.push(decodeText(reader.data));
    else if (type === RECORD.END) {
      if (sender === undefined) break;
      return { time: Math.floor(time / 1000), sender, recipients };
    }
  }
  throw new BadRecordError("Cannot read queue file: it is not complete");
}
