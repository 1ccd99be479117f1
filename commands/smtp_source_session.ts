/**
 * One session of smtp-source: sends messages until the run has none left.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../lib/safe/channel.ts";
// Utility
import { decodeText, encodeText } from "../lib/vstring/byte_builder.ts";
import { isDigit } from "../lib/vstring/ascii.ts";
// This program
import { LineSplitter } from "./smtp_tool_lines.ts";

/** Seconds that the server may take for a reply. */
const REPLY_TIMEOUT = 300;

/** What a session needs of the run that it belongs to. */
export interface SourceRun {
  readonly lmtp: boolean;
  readonly old: boolean;
  readonly keepOpen: boolean;
  readonly tolerant: boolean;
  readonly hostName: string;
  readonly sender: string;
  /** Takes a further message of the run; false when there is none left. The first was taken for the session. */
  takeMessage(): boolean;
  /** The recipients of the next message. */
  recipients(): readonly string[];
  /** The next message with its final dot. */
  content(session: number): Uint8Array;
  /** A message was sent and answered. */
  sent(): void;
  /** Waits between messages of this session; undefined for no wait. */
  pause(): Promise<void> | undefined;
  /** Shows a line of the conversation. */
  show(line: string): void;
  warn(text: string): void;
}

/** What the next reply answers. */
type Stage = "banner" | "helo" | "mail" | "rcpt" | "data" | "dot" | "rset" | "quit";

/** How each reply is named when it is missing or bad. */
const STAGES: Readonly<Record<Stage, { readonly waiting: string; readonly rejected: string }>> = {
  banner: { waiting: "while receiving server greeting", rejected: "rejected at server banner" },
  helo: { waiting: "while sending HELO", rejected: "HELO rejected" },
  mail: { waiting: "while sending sender", rejected: "sender rejected" },
  rcpt: { waiting: "while sending recipient", rejected: "recipient rejected" },
  data: { waiting: "while sending DATA command", rejected: "data rejected" },
  dot: { waiting: "while sending message", rejected: "end of data rejected" },
  rset: { waiting: "while sending RSET", rejected: "RSET rejected" },
  quit: { waiting: "while sending QUIT", rejected: "QUIT rejected" },
};

/** How a session ended. */
export type SessionEnd = { readonly kind: "done" } | { readonly kind: "failed"; readonly why: string };

/** Runs one session on a connected channel. */
export function runSession(channel: Channel, run: SourceRun, session: number): Promise<SessionEnd> {
  return new Promise((resolve) => new Session(channel, run, session, resolve).start());
}

class Session {
  readonly #channel: Channel;
  readonly #run: SourceRun;
  readonly #number: number;
  readonly #resolve: (end: SessionEnd) => void;
  readonly #lines = new LineSplitter();
  #stage: Stage = "banner";
  #over = false;
  #reply = "";
  #recipients: readonly string[] = [];
  #nextRecipient = 0;
  /** Replies to the final dot that are still to come: one, or one per recipient over LMTP. */
  #dotReplies = 0;
  #lastReply = Date.now();
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(channel: Channel, run: SourceRun, session: number, resolve: (end: SessionEnd) => void) {
    this.#channel = channel;
    this.#run = run;
    this.#number = session;
    this.#resolve = resolve;
    this.#watch = setInterval(() => this.#checkTime(), 1000);
  }

  start(): void {
    this.#channel.start({
      data: (bytes) => void this.#lines.push(bytes, (line) => this.#takeLine(line)),
      closed: () => this.#lost(),
    });
  }

  #takeLine(line: Uint8Array): boolean {
    if (this.#over) return false;
    const text = decodeText(line);
    this.#run.show(`<<< ${text}`);
    this.#reply = this.#reply === "" ? text : `${this.#reply}\n${text.slice(4)}`;
    // RFC 5321 section 4.2.1: a minus sign behind the code says that the reply goes on.
    if (isCode(line) && line[3] === 0x2d) return true;
    const reply = this.#reply;
    this.#reply = "";
    this.#lastReply = Date.now();
    this.#takeReply(reply);
    return true;
  }

  #takeReply(reply: string): void {
    const stage = this.#stage;
    const good = reply.charCodeAt(0) === (stage === "data" ? 0x33 : 0x32);
    if (good || stage === "quit") return this.#advance();
    const what = `${STAGES[stage].rejected}: ${reply}`;
    if (!this.#run.tolerant) return this.#fail(what);
    this.#run.warn(what);
    if (stage === "mail" || stage === "rcpt" || stage === "data") return this.#command("rset", "RSET");
    this.#advance();
  }

  /** Goes on after the reply that was waited for. */
  #advance(): void {
    const run = this.#run;
    switch (this.#stage) {
      case "banner":
        if (run.old) return this.#nextMessage();
        return this.#command("helo", `${run.lmtp ? "LHLO" : "HELO"} ${run.hostName}`);
      case "helo":
        return this.#nextMessage();
      case "mail":
      case "rcpt":
        return this.#recipientOrData();
      case "data":
        this.#stage = "dot";
        this.#dotReplies = run.lmtp ? this.#recipients.length : 1;
        run.show(".");
        this.#channel.write(run.content(this.#number));
        return;
      case "dot":
        if (--this.#dotReplies > 0) return;
        return this.#endMessage();
      case "rset":
        return this.#endMessage();
      case "quit":
        return this.#end({ kind: "done" });
    }
  }

  #nextMessage(): void {
    this.#recipients = this.#run.recipients();
    this.#nextRecipient = 0;
    this.#command("mail", `MAIL FROM:<${this.#run.sender}>`);
  }

  #recipientOrData(): void {
    const recipient = this.#recipients[this.#nextRecipient++];
    if (recipient === undefined) this.#command("data", "DATA");
    else this.#command("rcpt", `RCPT TO:<${recipient}>`);
  }

  #endMessage(): void {
    const run = this.#run;
    run.sent();
    if (!run.keepOpen || !run.takeMessage()) return this.#command("quit", "QUIT");
    const pause = run.pause();
    if (pause === undefined) return this.#nextMessage();
    pause.then(() => {
      this.#lastReply = Date.now();
      if (!this.#over) this.#nextMessage();
    });
  }

  #command(stage: Stage, line: string): void {
    this.#stage = stage;
    this.#run.show(line);
    this.#channel.write(encodeText(`${line}\r\n`));
  }

  #checkTime(): void {
    if (Date.now() - this.#lastReply > REPLY_TIMEOUT * 1000) {
      this.#fail(`timeout ${STAGES[this.#stage].waiting}`);
    }
  }

  #lost(): void {
    // After QUIT a server may close without an answer.
    if (this.#stage === "quit") return this.#end({ kind: "done" });
    this.#fail(`lost connection ${STAGES[this.#stage].waiting}`);
  }

  #fail(why: string): void {
    this.#end({ kind: "failed", why });
  }

  #end(end: SessionEnd): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    if (end.kind === "done") this.#channel.finish();
    else this.#channel.destroy();
    this.#resolve(end);
  }
}

function isCode(line: Uint8Array): boolean {
  return line.length > 3 && isDigit(line[0]!) && isDigit(line[1]!) && isDigit(line[2]!);
}
