/**
 * What is said to a client: softened and with its footer where the configuration wants that, noted in the transcript, and
 * sent at once for all commands of a group.
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

  constructor(channel: Channel, transcript: Transcript | undefined) {
    this.#channel = channel;
    this.#transcript = transcript;
  }

  /** Adds a reply; returns it as it is said. */
  add(session: Session, text: ReplyText): ReplyText {
    const { footer } = session.server;
    const plain = said(session, text);
    const reply = footer === undefined ? plain : footer.add(session, plain);
    this.#text += `${reply}\r\n`;
    this.#transcript?.said(reply);
    return reply;
  }

  /** Resolves when the footer of a reply is known; undefined when it is, or there is none. */
  prepare(session: Session, reply: ReplyText | undefined): Promise<void> | undefined {
    return reply === undefined ? undefined : session.server.footer?.prepare(said(session, reply));
  }

  /** Sends what was gathered. */
  flush(): void {
    if (this.#text === "") return;
    this.#channel.write(replyBytes(this.#text));
    this.#text = "";
  }
}

/** The reply as it is said, but for its footer. */
function said({ server }: Session, text: ReplyText): ReplyText {
  return server.settings.soft_bounce ? soften(text) : text;
}
