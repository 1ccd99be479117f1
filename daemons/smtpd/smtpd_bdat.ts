/**
 * BDAT: message text in counted chunks (RFC 3030). What a chunk holds is text and nothing else, so a chunk that is
 * refused is read over to its end before it is answered: none of it can be taken for a command.
 */
// Utility
import { asciiUpper, parseDecimal, splitBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { InputBuffer } from "../../lib/stream/input_buffer.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { hides } from "./smtpd_client.ts";
import type { DataReader } from "./smtpd_data.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import { openText } from "./smtpd_text.ts";

/** What BDAT announces. */
export interface Chunk {
  /** Bytes that follow the command's line. */
  readonly size: number;
  /** They end the message. */
  readonly last: boolean;
}

/** Where a session is with chunks: what failed stays failed until the last chunk or RSET. */
export type ChunkState = "none" | "taking" | "failed";

/** A chunk on its way. */
export class Intake {
  readonly chunk: Chunk;
  /** Why it is read over; undefined: it is taken. */
  readonly refusal: ReplyText | undefined;
  /** Bytes that have not come yet. */
  #left: number;

  constructor(chunk: Chunk, refusal: ReplyText | undefined) {
    this.chunk = chunk;
    this.refusal = refusal;
    this.#left = chunk.size;
  }

  /** Takes what has come of it, which is text whatever it says; true when that was the rest. */
  take(input: InputBuffer, reader: DataReader | undefined): boolean {
    const bytes = input.view().subarray(0, this.#left);
    if (this.refusal === undefined) reader!.push(bytes);
    this.#left -= bytes.length;
    input.consume(bytes.length);
    return this.#left === 0;
  }
}

/**
 * A refused chunk of this many times message_size_limit is still read over. Who announces more than that is not worth
 * the reading, and as it cannot be skipped the session ends.
 */
const SKIP_FACTOR = 1.5;
/** Bytes of a malformed command that the log shows. */
const SAMPLE = 100;

/** RFC 3030 section 2: BDAT has the size of its chunk in decimal digits, and LAST behind the size of the last one. */
export function parseChunk(argument: Uint8Array): Chunk | undefined {
  const [digits = "", end, ...more] = splitBlanks(decodeText(argument));
  const size = parseDecimal(digits, Number.MAX_SAFE_INTEGER);
  const isLast = end !== undefined && asciiUpper(end) === "LAST";
  if (size === undefined || more.length > 0 || (end !== undefined && !isLast)) return undefined;
  return { size, last: isLast };
}

/** True when a refused chunk may be read over. */
export function mayBeSkipped(chunk: Chunk, sizeLimit: number): boolean {
  return sizeLimit === 0 || chunk.size <= sizeLimit * SKIP_FACTOR;
}

/** BDAT. */
export function bdat(session: Session, argument: Uint8Array): ReplyText | undefined | Promise<undefined> {
  const { log, settings } = session.server;
  // Where a chunk ends is not known, or is not what a client that was not offered this can mean: it cannot be skipped.
  if (hides(session, "CHUNKING")) return REPLY.chunkingOff;
  const chunk = parseChunk(argument);
  const about = `${session.transaction?.id || "NOQUEUE"}: `;
  if (chunk === undefined) {
    log.warning(
      `${about}malformed BDAT command syntax from ${session.client}: BDAT ${printable(argument, SAMPLE)}`,
    );
    return REPLY.bdatSyntax;
  }
  const refusal = refuseChunk(session, chunk);
  if (refusal !== undefined) {
    if (chunk.size === 0 && !chunk.last) log.warning(`${about}null BDAT request from ${session.client}`);
    if (refusal === REPLY.chunkTooBig) {
      log.warning(`${about}BDAT request from ${session.client} exceeds message size limit`);
    }
    if (!mayBeSkipped(chunk, settings.message_size_limit)) {
      session.reply(refusal);
      return `421 4.3.0 ${settings.myhostname} Error: chunk is too large to be skipped`;
    }
    session.takeChunk(chunk, refusal);
    return undefined;
  }
  const transaction = session.transaction!;
  if (transaction.reader !== undefined) {
    session.takeChunk(chunk, undefined);
    return undefined;
  }
  return openText(session, transaction).then((why) => {
    session.takeChunk(chunk, why);
    return undefined;
  });
}

/** Why a chunk is not taken, or undefined. */
function refuseChunk(session: Session, chunk: Chunk): ReplyText | undefined {
  const { transaction } = session;
  const limit = session.server.settings.message_size_limit;
  if (chunk.size === 0 && !chunk.last) return REPLY.nullChunk;
  if (session.chunks === "failed") return `551 5.0.0 Discarded ${chunk.size} bytes after earlier error`;
  if (transaction === undefined) return REPLY.needRcpt;
  if (transaction.recipients.length === 0) return REPLY.noRecipients;
  const size = transaction.reader?.size ?? 0;
  return limit > 0 && size + chunk.size > limit ? REPLY.chunkTooBig : undefined;
}
