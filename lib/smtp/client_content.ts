/**
 * A message's text on its way from the queue file to a server: read in pieces, converted where it must be, written
 * in DATA form. Memory does not depend on the size of the message.
 *
 * @module
 */
import type { SafeFile } from "../safe/file.ts";
import { ContentReader } from "../mail/queue_file.ts";
import type { ClientSession } from "./client_session.ts";
import { DotStuffer } from "./dot_stuffing.ts";
import type { OutgoingText } from "./client_rewrite.ts";
import { type Emit, MimeDowngrade } from "./mime_downgrade.ts";

/** Text that is gathered before it is sent, bytes. */
const PIECE_SIZE = 64 * 1024;
/** Least and most bytes that are read from the queue file at once. */
const LEAST_WINDOW = 4096;
const MOST_WINDOW = 64 * 1024;
/** Record overhead that a small message's window has room for. */
const WINDOW_ROOM = 2048;

/** Where a message's text stands. */
export interface MessageContent {
  readonly file: SafeFile;
  /** Offset of the content segment, bytes. */
  readonly offset: number;
  /** Length as the user sees it, bytes. */
  readonly size: number;
}

/** What takes text on its way. */
interface Sink {
  piece(data: Uint8Array, endsLine: boolean): void;
}

/** How it is sent. */
export interface ContentForm {
  /** Longest line; 0: no limit. */
  readonly lineLimit: number;
  /** Convert 8-bit MIME to 7-bit. */
  readonly downgrade: boolean;
  /** Makes what changes headers and body lines; undefined when nothing does. */
  readonly rewrite?: ((emit: Emit) => OutgoingText) | undefined;
  /** What is waited for between the text and the end of data. */
  readonly beforeEnd?: (() => Promise<void>) | undefined;
}

/**
 * Appends the whole message with its end-of-data line to `session.out`, calling `flush` whenever a piece is full.
 * What is left in `out` at the end is for the caller to send.
 *
 * @returns whether a line had to be folded
 * @throws BadRecordError, MimeError, LookupTroubleError, and what `flush` throws
 */
export async function writeContent(
  content: MessageContent,
  form: ContentForm,
  session: ClientSession,
  flush: () => Promise<void>,
): Promise<boolean> {
  const { file } = content;
  const window = Math.min(MOST_WINDOW, Math.max(LEAST_WINDOW, content.size + WINDOW_ROOM));
  const reader = new ContentReader((buffer, offset) => file.read(buffer, offset), content.offset, window);
  const stuffer = new DotStuffer(session.out, form.lineLimit);
  const converter = form.downgrade ? new MimeDowngrade((data, ends) => stuffer.piece(data, ends)) : undefined;
  const sink: Sink = converter ?? stuffer;
  const text = form.rewrite?.((data, ends) => sink.piece(data, ends));
  while (reader.next()) {
    if (text !== undefined) {
      text.piece(reader.data, reader.endsLine);
      if (text.isFull) await text.flush();
    } else if (converter !== undefined) converter.piece(reader.data, reader.endsLine);
    else {
      stuffer.slice(reader.bytes, reader.start, reader.end, reader.endsLine);
      reader.pass(stuffer.records(reader.bytes, reader.end, reader.filled));
    }
    if (session.out.length >= PIECE_SIZE) await flush();
  }
  text?.finish();
  await text?.flush();
  converter?.finish();
  stuffer.endText();
  await form.beforeEnd?.();
  stuffer.finish();
  return stuffer.folded;
}
