/**
 * # filter
 *
 * Runs a mail filter of one's own on one message and shows what it does.
 *
 * ## Synopsis
 * `postern [-c CONF_DIR] filter [-f SENDER] [-r RECIPIENT] [-a ADDRESS] FILE < message`
 *
 * ## Description
 * Starts the filter in FILE as master starts it, in the same sandbox, gives it the message from standard input, and prints
 * its verdict, then a line for each change: `+` what is added, `-` what is removed. A new body follows at the end. Nothing
 * is queued. `-f` and `-r` (which may be given several times) say who sends and who gets it, `-a` the client's address.
 *
 * ## Security
 * The filter has exactly the permissions that its file declares and runs as the user that runs this command, or as
 * net_owner when that is root. A file that others may change is not run.
 *
 * ## Diagnostics
 * Status 0 when the filter has given a verdict, whatever it is; 1 when it failed, with the reason.
 *
 * ## Parameters
 * daemon_heap_limit, mail_owner, net_owner.
 *
 * ## Known limits
 * The message is as it stands: cleanup would have completed its header before a filter sees it.
 *
 * @module
 */
// Safe primitives
import { connectUnix } from "../lib/safe/connect.ts";
import { readTextFile } from "../lib/safe/file.ts";
import { resolve } from "../lib/safe/path.ts";
import { bindUnix, type Child, openLogDescriptor, runtimePath, startProcess } from "../lib/safe/process.ts";
import { makeScratchDirectory } from "../lib/safe/scratch.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import type { ServiceEntry } from "../lib/config/master_file.ts";
import { ByteBuilder, decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Wire protocols
import { Milter, type MilterParts } from "../lib/milter/milter.ts";
import { MilterContent, type MilterEdit, type MilterOutcome } from "../lib/milter/milter_content.ts";
import { NO_MACROS } from "../lib/milter/milter_macro.ts";
import type { MilterRule } from "../lib/milter/milter_rule.ts";
// Server skeleton
import { locateCode } from "../lib/server/code_location.ts";
import { whyUnsafe } from "../lib/server/filter_reach.ts";
import { daemonEnvironment } from "../lib/server/hardening.ts";
import { serviceIdentity } from "../lib/server/identity.ts";
import { type Plan, Planner } from "../lib/server/sandbox.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import { FilterInput } from "./filter_input.ts";
import { parseOptions } from "./options.ts";

/** What the filter may take to start, milliseconds. */
const START_TIMEOUT = 30_000;
/** Longest log of a filter that is shown, bytes. */
const LOG_LIMIT = 64 * 1024;
/** Longest message, bytes: it is held in memory. */
const MESSAGE_LIMIT = 256 * 1024 * 1024;

/** What is told the filter beside the message. */
interface Told {
  readonly file: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly address: string;
}

/** Runs the filter. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const told = readArguments(args);
  const unsafe = whyUnsafe(told.file);
  if (unsafe !== undefined) throw new CommandError(`fatal: the filter "${told.file}" ${unsafe}`);
  const configuration = env.config();
  const code = locateCode(runtimePath());
  const plan = new Planner(configuration, SERVICES, code, systemFacts()).plan(entryFor(told.file));
  const message = new ByteBuilder(MESSAGE_LIMIT);
  for await (const chunk of env.stdin()) message.bytes(chunk);
  using scratch = makeScratchDirectory("postern-filter-");
  const outcome = await ask(plan, configuration, scratch.path, told, new FilterInput(message.view()));
  if ("failure" in outcome) {
    env.err(`filter: ${printable(outcome.failure)}\n${readTextFile(`${scratch.path}/log`, LOG_LIMIT)}`);
    return 1;
  }
  env.out(describe(outcome.result));
  if (outcome.body !== undefined) env.writeBytes(outcome.body);
  return 0;
}

function readArguments(args: readonly string[]): Told {
  const parsed = parseOptions(args, "a:f:r:");
  const [file, ...more] = parsed.kind === "parsed" ? parsed.operands : [];
  if (parsed.kind === "invalid" || file === undefined || more.length > 0) {
    throw new CommandError("usage: filter [-f SENDER] [-r RECIPIENT] [-a ADDRESS] FILE < message");
  }
  const all = (letter: string) =>
    parsed.options.filter((option) => option.letter === letter).map(({ value }) => value);
  return {
    file: resolve(file),
    sender: all("f").at(-1) ?? "sender@example.test",
    recipients: all("r").length > 0 ? all("r") : ["recipient@example.test"],
    address: all("a").at(-1) ?? "192.0.2.1",
  };
}

/** An entry of master.toml that runs the file. */
function entryFor(file: string): ServiceEntry {
  const place = { file: "command line", line: 0 };
  return {
    name: "filter",
    type: "unix",
    private: true,
    command: "filter",
    wakeup: 0,
    wakeupIfUsed: false,
    parameters: new Map([["filter_file", { text: file, ...place }]]),
    place,
  };
}

type Asked =
  | { readonly result: MilterOutcome; readonly body: Uint8Array | undefined }
  | { readonly failure: string };

/** Starts the filter's process as master does, and tells it the message. */
async function ask(
  plan: Plan,
  configuration: Configuration,
  directory: string,
  told: Told,
  input: FilterInput,
): Promise<Asked> {
  const listener = bindUnix(`${directory}/socket`, 0o600);
  const code = locateCode(runtimePath());
  const identity = serviceIdentity(configuration, plan.service.runAs);
  try {
    const child = await startProcess({
      program: code.runtime,
      args: plan.args,
      environment: daemonEnvironment(code),
      descriptors: [listener.descriptor],
      errors: openLogDescriptor(`${directory}/log`, 0o600),
      ...(identity === undefined ? {} : { identity }),
    });
    child.write(JSON.stringify(plan.boot) + "\n");
    try {
      return await Promise.race([
        tell(`${directory}/socket`, told, input),
        child.ended.then((): Asked => ({ failure: "its process has ended" })),
      ]);
    } finally {
      await end(child);
    }
  } finally {
    listener.close();
  }
}

async function end(child: Child): Promise<void> {
  child.closeInput();
  await child.ended;
}

/** One session with one message, as smtpd and cleanup tell it. */
async function tell(socket: string, told: Told, input: FilterInput): Promise<Asked> {
  const warnings: string[] = [];
  const log = { warning: (text: string) => void warnings.push(text) };
  const parts: MilterParts = {
    connect: (rule) => connectUnix(socket, rule.connectTimeout),
    macros: NO_MACROS,
    defaults: new Map(),
    log,
  };
  const milter = new Milter(ruleFor(told.file), parts);
  const nothing = () => undefined;
  await milter.connected({ name: "client.example.test", address: told.address, port: 1 }, nothing);
  await milter.helo("client.example.test", nothing);
  await milter.mail([`<${told.sender}>`], nothing);
  for (const recipient of told.recipients) await milter.rcpt([`<${recipient}>`], nothing);
  const { content } = milter;
  if (content === undefined) return { failure: warnings.join("; ") };
  const told_ = { headerMacros: ["i"], endMacros: [], log, queueId: "TRY" };
  const conversation = new MilterContent(ruleFor(told.file), content.agreement, content.stream, told_);
  const result = await conversation.run(input, (name) => name === "i" ? "TRY" : undefined);
  if (!result.failed) await milter.quit();
  return result.failed ? { failure: warnings.join("; ") } : { result, body: input.newBody };
}

function ruleFor(name: string): MilterRule {
  const contentTimeout = 3600 * 1000;
  return {
    name,
    target: { kind: "service", name },
    connectTimeout: START_TIMEOUT,
    commandTimeout: START_TIMEOUT,
    contentTimeout,
    defaultAction: "tempfail",
    protocol: { version: 6, muteHeaders: false },
  };
}

/** The verdict and the changes, a line each. */
function describe({ verdict, edits }: MilterOutcome): string {
  const said = verdict.kind === "reply" ? verdict.text : verdict.kind === "continue" ? "pass" : verdict.kind;
  return [`verdict: ${said}`, ...edits.map(describeEdit)].map((line) => `${line}\n`).join("");
}

function describeEdit(edit: MilterEdit): string {
  const field = (name: Uint8Array, value: Uint8Array) =>
    printable(`${decodeText(name)}: ${decodeText(value)}`);
  switch (edit.kind) {
    case "addHeader":
      return `+ ${field(edit.name, edit.value)}`;
    case "insertHeader":
      return `+ ${field(edit.name, edit.value)} (in front of header ${edit.index})`;
    case "changeHeader":
      return edit.value.length === 0
        ? `- ${printable(edit.name)} (header ${edit.index} of that name)`
        : `+ ${field(edit.name, edit.value)} (in the place of header ${edit.index} of that name)`;
    case "changeFrom":
      return `+ sender ${printable(edit.address)}`;
    case "addRecipient":
      return `+ recipient ${printable(edit.address)}`;
    case "deleteRecipient":
      return `- recipient ${printable(edit.address)}`;
    case "quarantine":
      return "+ on hold";
    case "replaceBody":
      return "+ body, which follows";
    default:
      return edit satisfies never;
  }
}
