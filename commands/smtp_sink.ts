/**
 * # smtp-sink
 *
 * Takes test mail over SMTP or LMTP and throws it away, or keeps it in files.
 *
 * ## Synopsis
 * `smtp-sink [OPTIONS] [inet:][HOST]:PORT BACKLOG`, `smtp-sink [OPTIONS] unix:PATH BACKLOG`
 *
 * ## Description
 * Postfix's program with the same options: scripts written for it work.
 *
 * - `-L` LMTP; `-h NAME` name in greeting and replies; `-e`, `-P` no ESMTP, the greeting of a Cisco PIX
 * - `-8 -a -C -E -F -N -p` leave 8BITMIME, AUTH, XCLIENT, ENHANCEDSTATUSCODES, XFORWARD, DSN, PIPELINING out of EHLO
 * - `-f COMMANDS`, `-r COMMANDS` reject commands with 5xx, 4xx; `-B REPLY`, `-b REPLY` with this reply
 * - `-q COMMANDS`, `-Q COMMANDS` disconnect after a command, without and with 421
 * - `-w SECONDS`, `-W COMMAND:SECONDS[:ODDS]` wait before the reply; `-H SECONDS` before reading a message
 * - `-A SECONDS` break a message off with 550
 * - `-c` counters; `-v` show the conversation; `-s COMMANDS` show these commands
 * - `-d TEMPLATE`, `-D TEMPLATE` keep each message in a file of its own, or many in one; the template goes through
 *   strftime(3); `-S TEXT` in front of each
 * - `-m N` sessions at once; `-M N`, `-n N` end after so many messages, sessions; `-t SECONDS` time limit
 * - `-u USER` become this user once the socket is open; `-4`, `-6` choose the address family
 * - `-T N` is taken and has no effect
 *
 * COMMANDS are separated by commas or blanks: CONNECT HELO EHLO LHLO MAIL RCPT DATA . RSET NOOP VRFY QUIT AUTH XCLIENT
 * XFORWARD.
 *
 * ## Security
 * For tests. Reads what anybody sends: lines and messages that are kept are bounded, and what is shown is made
 * printable. Dump files are opened as regular files with one link.
 *
 * ## Standards
 * RFC 5321, RFC 2033.
 *
 * ## Diagnostics
 * Errors go to standard error as `smtp-sink: fatal: ...`, status 1.
 *
 * ## Parameters
 * None: it reads no configuration.
 *
 * ## Known limits
 * No chroot (-R). A message ends at CR LF . CR LF only. `-s` shows commands on standard error, not in the system log.
 * Connections beyond -m are accepted and wait for their greeting, where the original leaves them to the system.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../lib/safe/channel.ts";
import { lookAt, removeFile } from "../lib/safe/file.ts";
import { becomeUser } from "../lib/safe/login.ts";
import { findUser } from "../lib/safe/process.ts";
import { listenStream } from "../lib/safe/tcp_server.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { readSinkOptions, type SinkPlan } from "./smtp_sink_options.ts";
import { SinkSession } from "./smtp_sink_session.ts";

/** Connections that may wait for their turn. */
const WAITING_LIMIT = 10_000;
/** Time for the last reply to leave, milliseconds. */
const LINGER = 100;

/** Runs the command until it is killed, or until -M or -n is reached. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const plan = readSinkOptions(args);
  const user = plan.user === undefined ? undefined : findUser(plan.user);
  if (plan.user !== undefined && user === undefined) {
    throw new CommandError(`fatal: unknown user: ${plan.user}`);
  }
  if (plan.target.kind === "unix") removeStaleSocket(plan.target.path);
  const sink = new Sink(plan, env);
  const listening = await listenStream(
    plan.target,
    plan.backlog,
    (channel) => sink.accept(channel),
    (why) => {
      env.err(`${env.programName}: warning: accept: ${why}\n`);
    },
  );
  if (listening.kind === "failed") throw new CommandError(`fatal: listen: ${listening.why}`);
  if (user !== undefined) becomeUser(user);
  await sink.finished;
  listening.server.close();
  // The last reply is still on its way out.
  await new Promise((resolve) => setTimeout(resolve, LINGER));
  return 0;
}

/** A socket that an earlier run left behind is in the way. */
function removeStaleSocket(path: string): void {
  if (lookAt(path)?.kind === "other") removeFile(path);
}

/** The sessions and what was counted in them. */
class Sink {
  readonly #plan: SinkPlan;
  readonly #env: CommandEnv;
  #open = 0;
  readonly #waiting: Channel[] = [];
  #sessions = 0;
  #quits = 0;
  #messages = 0;
  #finish: () => void = () => {};
  /** Resolves when -M or -n is reached. */
  readonly finished: Promise<void> = new Promise((resolve) => this.#finish = resolve);

  constructor(plan: SinkPlan, env: CommandEnv) {
    this.#plan = plan;
    this.#env = env;
  }

  accept(channel: Channel): void {
    if (this.#open < this.#plan.concurrency) this.#serve(channel);
    else if (this.#waiting.length < WAITING_LIMIT) this.#waiting.push(channel);
    else channel.destroy();
  }

  #serve(channel: Channel): void {
    this.#open++;
    if (this.#plan.verbose) this.#show("connect");
    new SinkSession(channel, this.#plan, {
      message: () => {
        this.#messages++;
        this.#count();
        if (this.#messages === this.#plan.messages) this.#finish();
      },
      quit: () => void this.#quits++,
      over: () => this.#over(),
      show: (text) => this.#show(text),
    }).start();
  }

  #over(): void {
    this.#open--;
    this.#sessions++;
    this.#count();
    if (this.#sessions === this.#plan.sessions) return this.#finish();
    const next = this.#waiting.shift();
    if (next !== undefined) this.#serve(next);
  }

  #count(): void {
    if (!this.#plan.counters) return;
    this.#env.out(`sess=${this.#sessions} quit=${this.#quits} mesg=${this.#messages}\r`);
  }

  #show(text: string): void {
    this.#env.err(`${this.#env.programName}: ${text}\n`);
  }
}
