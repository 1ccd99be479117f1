/**
 * What is said to a client: softened, in other words and with a footer where the configuration wants that, noted in the
 * transcript, and sent at once for all commands of a group.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Access
import { type ReplyText, soften } from "../../lib/access/reply.ts";
// This program
import { replyBytes } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { Transcript } from "./smtpd_transcript.ts";

/** Gathers replies. */
export class Output {
  readonly #channel: Channel;
  readonly #transcript: Transcript | undefined;
  #text = "";
  /** A reply that tables were asked about, and how it is said. */
  #worded: { readonly plain: ReplyText; readonly reply: ReplyText } | undefined;

  constructor(channel: Channel, transcript: Transcript | undefined) {
    this.#channel = channel;
    this.#transcript = transcript;
  }

  /** Adds a reply; returns it as it is said. */
  add(session: Session, text: ReplyText): ReplyText {
    const { footer } = session.server;
    const plain = said(session, text);
    const reply = this.#worded?.plain === plain
      ? this.#worded.reply
      : footer === undefined
      ? plain
      : footer.add(session.peer, plain);
    this.#worded = undefined;
    this.#text += `${reply}\r\n`;
    this.#transcript?.said(reply);
    return reply;
  }

  /** Resolves when it is known how a reply is said, by its own tables; undefined when it is. */
  prepare(session: Session, reply: ReplyText | undefined): Promise<void> | undefined {
    if (reply === undefined) return undefined;
    const { footer, rejectFilter } = session.server;
    const plain = said(session, reply);
    const filtered = rejectFilter?.filter(plain, session.transaction?.id ?? "");
    const template = filtered === undefined ? footer?.find(plain) : undefined;
    if (filtered === undefined && template === undefined) return undefined;
    return this.#word(session, plain, filtered, template);
  }

  async #word(
    { server: { footer }, peer }: Session,
    plain: ReplyText,
    filtered: Promise<ReplyText> | undefined,
    template: Promise<string> | undefined,
  ): Promise<void> {
    const worded = await filtered ?? plain;
    const found = await (template ?? footer?.find(worded));
    this.#worded = { plain, reply: footer === undefined ? worded : footer.add(peer, worded, found) };
  }

  /** Sends what was gathered. @param late with what other clients are told in this turn of the event loop */
  flush(late: boolean): void {
    if (this.#text === "") return;
    const bytes = replyBytes(this.#text);
    if (late) this.#channel.writeLate(bytes);
    else this.#channel.write(bytes);
    this.#text = "";
  }
}

/** The reply as it is said, but for its footer. */
function said({ server }: Session, text: ReplyText): ReplyText {
  return server.settings.soft_bounce ? soften(text) : text;
}
