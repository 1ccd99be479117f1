/**
 * # smtp-source
 *
 * Sends test mail over SMTP or LMTP, as many sessions at once as asked for.
 *
 * ## Synopsis
 * `smtp-source [OPTIONS] [inet:]HOST[:PORT]`, `smtp-source [OPTIONS] unix:PATH`
 *
 * ## Description
 * Postfix's program with the same options: scripts written for it work.
 *
 * - `-s N` sessions at once, `-m N` messages in all, `-r N` recipients for each, `-l N` bytes of text
 * - `-d` do not disconnect after a message; without it each message has a connection of its own
 * - `-f FROM`, `-t TO`, `-M HOSTNAME`, `-S SUBJECT`; default addresses are foo@HOSTNAME
 * - `-F FILE` sends the file, headers and all, dots stuffed
 * - `-N` numbers recipients, so that no two are the same
 * - `-L` LMTP; `-o` no HELO and no headers
 * - `-A` goes on after a reply that is not the expected one; otherwise that ends the run with status 1
 * - `-C N` attempts to connect when the connection is refused or reset
 * - `-c` shows a counter; `-v` shows the conversation
 * - `-w SECONDS`, `-R SECONDS` wait a fixed or a random time between the messages of a session
 * - `-T N` is taken and has no effect; `-4`, `-6` choose the address family
 *
 * ## Security
 * For tests: sends whatever it is told to whom it is told. Replies are shown as printable text only.
 *
 * ## Standards
 * RFC 5321, RFC 2033.
 *
 * ## Diagnostics
 * Errors go to standard error as `smtp-source: fatal: ...`, status 1.
 *
 * ## Parameters
 * None: it reads no configuration.
 *
 * ## Known limits
 * No command pipelining, as with the original.
 *
 * @module
 */
// Safe primitives
import { readBytesFile } from "../lib/safe/file.ts";
import { systemHostName } from "../lib/safe/process.ts";
import { processId } from "../lib/safe/stdio.ts";
import { connectStream } from "../lib/safe/tcp_client.ts";
import type { Channel } from "../lib/safe/channel.ts";
// Utility
import { printable } from "../lib/vstring/printable.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { makeText, MessageMaker, stuffText } from "./smtp_source_message.ts";
import { readSourceOptions, type SourcePlan } from "./smtp_source_options.ts";
import { runSession, type SourceRun } from "./smtp_source_session.ts";

/** Largest file of -F, bytes. */
const FILE_LIMIT = 1024 * 1024 * 1024;
/** Pause before another attempt to connect, milliseconds. */
const RETRY_PAUSE = 10;

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const plan = readSourceOptions(args);
  const work = new Work(plan, env);
  const sessions = Math.min(plan.sessions, plan.messages);
  await Promise.all(Array.from({ length: sessions }, (_, i) => work.thread(i + 1)));
  if (plan.counter) env.out("\n");
  return 0;
}

/** The run that all sessions share. */
class Work implements SourceRun {
  readonly #plan: SourcePlan;
  readonly #env: CommandEnv;
  readonly #maker: MessageMaker;
  readonly #recipient: string;
  readonly hostName: string;
  readonly sender: string;
  #left: number;
  #done = 0;
  #recipientNumber = 0;

  constructor(plan: SourcePlan, env: CommandEnv) {
    this.#plan = plan;
    this.#env = env;
    this.#left = plan.messages;
    this.hostName = plan.hostName ?? systemHostName();
    this.sender = plan.sender ?? `foo@${this.hostName}`;
    this.#recipient = plan.recipient ?? `foo@${this.hostName}`;
    const text = plan.file === undefined
      ? makeText(plan.length)
      : stuffText(readBytesFile(plan.file, FILE_LIMIT));
    this.#maker = new MessageMaker({
      headers: !plan.old && plan.file === undefined,
      sender: this.sender,
      recipient: this.#recipient,
      subject: plan.subject,
      hostName: this.hostName,
      text,
    }, processId());
  }

  get lmtp(): boolean {
    return this.#plan.lmtp;
  }

  get old(): boolean {
    return this.#plan.old;
  }

  get keepOpen(): boolean {
    return this.#plan.keepOpen;
  }

  get tolerant(): boolean {
    return this.#plan.tolerant;
  }

  /** One session after the other until no message is left. */
  async thread(number: number): Promise<void> {
    for (let first = true; this.takeMessage(); first = false) {
      if (!first) await this.pause();
      const channel = await this.#connect();
      const end = await runSession(channel, this, number);
      if (end.kind === "failed") throw new CommandError(`fatal: ${printable(end.why)}`);
    }
  }

  takeMessage(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  recipients(): readonly string[] {
    const { recipients, numbered } = this.#plan;
    if (recipients === 1 && !numbered) return [this.#recipient];
    return Array.from({ length: recipients }, (_, i) => {
      if (numbered) return `${++this.#recipientNumber}${this.#recipient}`;
      const number = recipients - i;
      return number === 1 ? this.#recipient : `${number}${this.#recipient}`;
    });
  }

  content(session: number): Uint8Array {
    return this.#maker.make(session, this.#left);
  }

  sent(): void {
    this.#done++;
    if (this.#plan.counter) this.#env.out(`${this.#done}\r`);
  }

  pause(): Promise<void> | undefined {
    const { pause, randomPause } = this.#plan;
    if (pause === 0) return undefined;
    const milliseconds = (randomPause ? Math.random() * pause : pause) * 1000;
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  show(line: string): void {
    if (this.#plan.verbose) this.#env.err(`${this.#env.programName}: ${printable(line)}\n`);
  }

  warn(text: string): void {
    this.#env.err(`${this.#env.programName}: warning: ${printable(text)}\n`);
  }

  async #connect(): Promise<Channel> {
    for (let attempt = 1;; attempt++) {
      const made = await connectStream(this.#plan.target);
      if (made.kind === "connected") return made.channel;
      const why = `connect: ${made.why}`;
      if (!made.refused || attempt >= this.#plan.attempts) throw new CommandError(`fatal: ${why}`);
      this.warn(why);
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE));
    }
  }
}
