/**
 * NAME
 *   crash-states - tries out what a power cut may leave of the queue
 *
 * DESCRIPTION
 *   `crash-states [--messages N] [--states N] [--seed N] [--smtp-port N]` runs a mail system like the trial's in a
 *   temporary directory, sends messages through it (default 6), and has strace(1) write down each file operation of
 *   each of its processes. From that it makes states of the disk that a power cut may leave at any moment: data and names
 *   that were not synced are there or missing, in any combination, a rename whole or not at all. On each of them
 *   (default 20, spread over the run) it starts the mail system again, as after a reboot, and looks whether every message
 *   that its client was told is taken arrives whole. `--smtp-port` is the port on 127.0.0.1 (default 2526); `--seed` picks
 *   the states.
 *
 * SECURITY
 *   Everything runs as the user who starts it, who must be allowed to trace processes. The service listens on loopback
 *   only, and relays for nobody. Nothing of an installed mail system is touched.
 *
 * DIAGNOSTICS
 *   One line for each state; status 0 only if no message was lost or damaged in any of them.
 *
 * LIMITS
 *   The mailboxes exist beforehand: the name of a mailbox that its first message makes is not synced in the directory
 *   above, where the program that writes the mailbox may not go.
 *
 * @module
 */
// Safe primitives
import { connectTcp } from "../lib/safe/connect.ts";
import {
  ensureDirectory,
  listDirectory,
  lookAt,
  makeDirectory,
  readBytesFile,
  readTextFile,
  removeTree,
  renameFile,
} from "../lib/safe/file.ts";
import { makeScratchDirectory } from "../lib/safe/scratch.ts";
// Utility
import { parseDecimal } from "../lib/vstring/ascii.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { CrashDisk, type DiskState, type Operation } from "./crash_disk.ts";
import { writeState } from "./crash_state_files.ts";
import { TRACED_CALLS, TraceReader } from "./crash_trace.ts";
import { pause, prepareCode } from "./master_control.ts";
import { type TrialPaths, trialPaths, writeTrialConfiguration } from "./trial_configuration.ts";
import { expectReply } from "./trial_message.ts";
import { TrialSystem } from "./trial_system.ts";

const STRACE = "/usr/bin/strace";
const USAGE = "usage: crash-states [--messages N] [--states N] [--seed N] [--smtp-port N]";
/** Longest trace that is read, bytes. */
const TRACE_LIMIT = 512 * 1024 * 1024;
/** Bytes of one system call that strace writes down: more than a journal's batch of this run has. */
const STRING_LIMIT = 1024 * 1024;
const MAIL_LIMIT = 4 * 1024 * 1024;
const REPLY_LIMIT = 30_000;
/** What the deliveries after a start may take, milliseconds. */
const DELIVERY_LIMIT = 30_000;
/** One message in so many is too long for the journal. */
const LARGE_ONE_IN = 3;
const LARGE_LINES = 3000;
/** Boot id of the system that went down. */
const BEFORE = "before";
const QUEUES = ["incoming", "active", "deferred", "maildrop"] as const;

interface Options {
  readonly messages: number;
  readonly states: number;
  readonly seed: number;
  readonly port: number;
}

function readOptions(args: readonly string[]): Options {
  const values: Record<string, number> = { messages: 6, states: 20, seed: 1, "smtp-port": 2526 };
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]!.slice(2);
    const value = parseDecimal(args[i + 1] ?? "", 65535);
    if (!args[i]!.startsWith("--") || !Object.hasOwn(values, name) || value === undefined || value === 0) {
      throw new CommandError(`fatal: bad option "${args[i]}"\n${USAGE}`, 64);
    }
    values[name] = value;
  }
  const { messages = 0, states = 0, seed = 0, "smtp-port": port = 0 } = values;
  return { messages, states, seed, port };
}

/** Runs it. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readOptions(args);
  if (lookAt(STRACE) === undefined) throw new CommandError(`fatal: ${STRACE} is missing`);
  await prepareCode();
  using scratch = makeScratchDirectory("postern-crash-");
  const paths = trialPaths(scratch.path);
  for (const directory of [paths.configuration, paths.mail, paths.queue]) ensureDirectory(directory);
  await writeTrialConfiguration(paths, options.port);
  const mailboxes = makeMailboxes(paths, options.messages);
  const numbers = new Map<string, number>();
  const operations = await recordRun(paths, options, mailboxes, numbers);
  env.out(`${operations.length} operations, ${numbers.size} messages\n`);
  let broken = 0;
  for (const { state, notes, at } of chooseStates(operations, options)) {
    const problems = await tryState(state, paths, options.port, notes.map((id) => numbers.get(id)!));
    if (problems.length > 0) broken++;
    const found = problems.length === 0 ? "all arrived" : problems.join("; ");
    env.out(`power cut after operation ${at}, ${notes.length} messages acknowledged: ${found}\n`);
  }
  return broken === 0 ? 0 : 1;
}

/** Mailboxes that have been used before, as operations. */
function makeMailboxes(paths: TrialPaths, count: number): Operation[] {
  const made: Operation[] = [{ kind: "directory", path: paths.mail, mode: 0o755 }];
  for (let number = 1; number <= count; number++) {
    for (const folder of ["", "/tmp", "/new", "/cur"]) {
      const path = `${paths.mail}/box${number}${folder}`;
      makeDirectory(path, 0o700);
      made.push({ kind: "directory", path, mode: 0o700 });
    }
    made.push({ kind: "syncDirectory", path: `${paths.mail}/box${number}` });
  }
  return [...made, { kind: "syncDirectory", path: paths.mail }, { kind: "syncDirectory", path: paths.root }];
}

/** Runs the mail system under strace until each message is delivered; what was done, and the numbers of the queue ids. */
async function recordRun(
  paths: TrialPaths,
  options: Options,
  before: readonly Operation[],
  numbers: Map<string, number>,
): Promise<readonly Operation[]> {
  const trace = `${paths.root}/trace`;
  const system = await TrialSystem.start(paths, [
    ...[STRACE, "-D", "-f", "-qq", "-y", "-xx", "-s", String(STRING_LIMIT)],
    ...["-e", `trace=${TRACED_CALLS}`, "-o", trace, "--"],
  ]);
  try {
    await system.ready();
    await sendAll(options, numbers);
    await untilDelivered(paths);
  } finally {
    await system.stop();
  }
  const reader = new TraceReader([paths.queue, paths.mail], before);
  for (const line of readTextFile(trace, TRACE_LIMIT).split("\n")) reader.take(line);
  return reader.operations;
}

/** Sends the messages, all but the first at once: they share what is done for them. */
async function sendAll({ port, messages }: Options, numbers: Map<string, number>): Promise<void> {
  const send = async (number: number) => {
    const connection = await connectTcp("127.0.0.1", port, REPLY_LIMIT);
    try {
      await expectReply(connection, "", 220);
      await expectReply(connection, "EHLO localhost\r\n", 250);
      await expectReply(connection, "MAIL FROM:<sender@example.test>\r\n", 250);
      await expectReply(connection, `RCPT TO:<box${number}@example.test>\r\n`, 250);
      await expectReply(connection, "DATA\r\n", 354);
      const reply = await expectReply(connection, `${contentOf(number).replaceAll("\n", "\r\n")}.\r\n`, 250);
      numbers.set(reply.text.slice(reply.text.lastIndexOf(" ") + 1), number);
    } finally {
      connection.close();
    }
  };
  await send(1);
  await Promise.all(Array.from({ length: messages - 1 }, (_, i) => send(i + 2)));
}

function contentOf(number: number): string {
  const lines = number % LARGE_ONE_IN === 0 ? LARGE_LINES : 10;
  return `From: sender@example.test\nSubject: number ${number}\n\n${
    `this is number ${number}, and a line of it that is repeated\n`.repeat(lines)
  }end of ${number}\n`;
}

/** Waits until the queue is empty and no journal is left to read back; false when it is not so in time. */
async function untilDelivered(paths: TrialPaths): Promise<boolean> {
  const deadline = Date.now() + DELIVERY_LIMIT;
  const waiting = () =>
    QUEUES.some((queue) => filesBelow(`${paths.queue}/${queue}`).length > 0) ||
    listDirectory(`${paths.queue}/journal`).some((name) => name.startsWith(BEFORE));
  while (waiting()) {
    if (Date.now() > deadline) return false;
    await pause(20);
  }
  return true;
}

function filesBelow(directory: string): string[] {
  return listDirectory(directory).flatMap((name) => {
    const path = `${directory}/${name}`;
    return lookAt(path)?.kind === "directory" ? filesBelow(path) : [path];
  });
}

/** States from all over the run: of each, what was acknowledged by then. */
function* chooseStates(
  operations: readonly Operation[],
  { states, seed }: Options,
): Generator<{ readonly state: DiskState; readonly notes: readonly string[]; readonly at: number }> {
  const below = numbersFrom(seed);
  const disk = new CrashDisk();
  const notes: string[] = [];
  // Before the first answer there is nothing to lose.
  const first = operations.findIndex(({ kind }) => kind === "note");
  const step = Math.max(1, Math.floor((operations.length - first) / states));
  let made = 0;
  for (const [at, operation] of operations.entries()) {
    disk.apply(operation);
    if (operation.kind === "note") notes.push(operation.text);
    if (at < first || (at - first) % step !== 0 || made++ >= states) continue;
    const choices = [...disk.states(12, below)];
    yield { state: choices[below(choices.length)]!, notes: [...notes], at };
  }
}

/** Numbers that look random, from a seed (mulberry32). */
function numbersFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** Starts the mail system on a state; what is wrong then. */
async function tryState(
  state: DiskState,
  paths: TrialPaths,
  port: number,
  acknowledged: readonly number[],
): Promise<string[]> {
  for (const directory of [paths.queue, paths.mail]) removeTree(directory);
  for (const directory of [paths.queue, paths.mail]) ensureDirectory(directory);
  writeState(state, paths.root, paths.root);
  pretendReboot(`${paths.queue}/journal`);
  await writeTrialConfiguration(paths, port);
  const system = await TrialSystem.start(paths);
  try {
    await system.ready();
    const problems = await untilDelivered(paths) ? [] : ["the queue does not become empty"];
    const corrupt = filesBelow(`${paths.queue}/corrupt`).length;
    if (corrupt > 0) problems.push(`${corrupt} files in corrupt/`);
    return [...problems, ...checkMail(paths, acknowledged)];
  } finally {
    await system.stop();
  }
}

/** Segments of this boot are left alone by a start; a power cut comes with another. */
function pretendReboot(journal: string): void {
  for (const name of listDirectory(journal)) {
    renameFile(`${journal}/${name}`, `${journal}/${BEFORE}${name.slice(name.indexOf("."))}`);
  }
}

function checkMail(paths: TrialPaths, acknowledged: readonly number[]): string[] {
  const problems: string[] = [];
  const arrived = new Set<number>();
  for (const box of listDirectory(paths.mail)) {
    const number = parseDecimal(box.slice("box".length)) ?? 0;
    for (const path of filesBelow(`${paths.mail}/${box}/new`)) {
      const whole = decodeText(readBytesFile(path, MAIL_LIMIT)).endsWith(
        contentOf(number).slice(contentOf(number).indexOf("\n\n")),
      );
      if (!whole) problems.push(`message ${number} is damaged`);
      arrived.add(number);
    }
  }
  for (const number of acknowledged) if (!arrived.has(number)) problems.push(`message ${number} is lost`);
  return problems;
}
