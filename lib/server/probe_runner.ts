/**
 * Runs the probes of a plan in a process that is started as the daemon would be: same runtime, flags, user,
 * environment and descriptors, with the probing program in the daemon's place.
 *
 * @module
 */
// Safe primitives
import { connectUnix } from "../safe/connect.ts";
import { makeDirectory, readTextFile, replaceFile } from "../safe/file.ts";
import { join } from "../safe/path.ts";
import { bindUnix, type Child, openLogDescriptor, startProcess } from "../safe/process.ts";
import type { AttemptResult } from "../safe/probe_attempts.ts";
// Utility
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
// Server skeleton
import { codeRoot } from "./code_location.ts";
import { type CodeLocation, daemonEnvironment } from "./hardening.ts";
import type { Identity } from "./identity.ts";
import { type ExpectedAttempt, forbiddenFlags, isAsExpected, probesOf, type ProbeWorld } from "./probe.ts";
import { SERVED } from "./probe_program.ts";
import type { Plan, Planner } from "./sandbox.ts";

/** One attempt with its outcome. */
export interface TriedAttempt extends ExpectedAttempt, AttemptResult {
  readonly ok: boolean;
}

/** One probe with its outcome. */
export interface ProbeReport {
  readonly id: string;
  readonly title: string;
  readonly ok: boolean;
  /** What went wrong outside of the attempts; empty when nothing did. */
  readonly why: string;
  readonly attempts: readonly TriedAttempt[];
}

/** What running needs. */
export interface ProbeHost {
  readonly planner: Planner;
  readonly code: CodeLocation;
  readonly world: ProbeWorld;
  identity(plan: Plan): Identity | undefined;
}

/** Name of the module that a planted package map offers. */
const PLANTED = "postern-planted";
/** By this the runtime that starts a process tells it of inherited descriptors. */
const DESCRIPTORS_VARIABLE = "DENO_EXTRA_STDIO_FDS";
/** Longest wait for the inherited listener's answer, milliseconds. */
const SERVE_TIMEOUT = 5000;
const ENVIRONMENT_LIMIT = 1024 * 1024;
const ERRORS_LIMIT = 1024 * 1024;

/** Entry point of the probing program. */
function probeEntry(code: CodeLocation): string {
  return code.packages === undefined
    ? code.entry("probe")
    : join(codeRoot(), "lib", "server", "probe_program.ts");
}

/** Runs every probe of the plan. Throws when the process cannot be started. */
export async function runProbes(plan: Plan, host: ProbeHost): Promise<ProbeReport[]> {
  const probes = probesOf(plan, host.world);
  const args = host.planner.args(plan.entry, plan.service, plan.grants, plan.denials, probeEntry(host.code));
  const socket = `${host.world.scratch}/inherited`;
  const listener = bindUnix(socket, 0o600);
  try {
    const child = await startProbe(plan, args, [listener.descriptor], host);
    const environment = environmentNames(child.pid);
    child.write(
      JSON.stringify(probes.flatMap((probe) => probe.attempts.map(({ attempt }) => attempt))) + "\n",
    );
    const lines = child.lines[Symbol.asyncIterator]();
    const reports: ProbeReport[] = [];
    for (const { id, title, attempts } of probes) {
      const tried: TriedAttempt[] = [];
      for (const expected of attempts) tried.push(await nextResult(expected, lines, host));
      reports.push(report(id, title, tried, ""));
    }
    const served = await askListener(socket);
    child.closeInput();
    await child.ended;
    return [
      ...reports.map((one) => addFindings(one, plan, args, environment, host, served)),
      await plantedProbe(plan, host),
    ];
  } finally {
    listener.close();
  }
}

function report(id: string, title: string, attempts: readonly TriedAttempt[], why: string): ProbeReport {
  return { id, title, why, attempts, ok: why === "" && attempts.every((attempt) => attempt.ok) };
}

/** What is seen from outside of the process belongs to three of the probes. */
function addFindings(
  one: ProbeReport,
  plan: Plan,
  args: readonly string[],
  environment: readonly string[],
  host: ProbeHost,
  served: string,
): ProbeReport {
  const why = (() => {
    switch (one.id) {
      case "DEN-28": {
        const found = [...forbiddenFlags(args), ...forbiddenFlags(plan.args)];
        return found.length === 0 ? "" : `forbidden flags: ${found.join(" ")}`;
      }
      case "DEN-07": {
        const expected = [...Object.keys(daemonEnvironment(host.code)), DESCRIPTORS_VARIABLE];
        const extra = environment.filter((name) => !expected.includes(name));
        return extra.length === 0 ? "" : `more than the fixed environment: ${extra.join(" ")}`;
      }
      case "DEN-19":
        return served === SERVED ? "" : `the inherited listener no longer serves: "${served}"`;
      default:
        return "";
    }
  })();
  return report(one.id, one.title, one.attempts, why);
}

function startProbe(
  plan: Plan,
  args: readonly string[],
  descriptors: readonly number[],
  host: ProbeHost,
): Promise<Child> {
  const identity = host.identity(plan);
  return startProcess({
    program: host.code.runtime,
    args,
    environment: daemonEnvironment(host.code),
    descriptors,
    errors: openLogDescriptor(errorsFile(host), 0o600),
    ...(identity === undefined ? {} : { identity }),
  });
}

/** The runtime reports each refused worker on standard error: kept, and shown only when the probe itself fails. */
function errorsFile(host: ProbeHost): string {
  return `${host.world.scratch}/errors`;
}

async function nextResult(
  expected: ExpectedAttempt,
  lines: AsyncIterator<string>,
  host: ProbeHost,
): Promise<TriedAttempt> {
  const next = await lines.next();
  if (next.done) {
    const errors = readTextFile(errorsFile(host), ERRORS_LIMIT).slice(-1000);
    throw new Error(`Cannot run probe "${JSON.stringify(expected.attempt)}": process ended: ${errors}`);
  }
  const result = JSON.parse(next.value) as AttemptResult;
  return { ...expected, ...result, ok: isAsExpected(expected, result) };
}

function environmentNames(pid: number): string[] {
  return readTextFile(`/proc/${pid}/environ`, ENVIRONMENT_LIMIT).split("\0")
    .filter((pair) => pair !== "")
    .map((pair) => pair.slice(0, pair.indexOf("=")));
}

/** DEN-19: a listener that was inherited serves on, with no permission at all. */
async function askListener(path: string): Promise<string> {
  using connection = await connectUnix(path, SERVE_TIMEOUT);
  connection.deadline(SERVE_TIMEOUT);
  const buffer = new Uint8Array(64);
  const count = await connection.read(buffer);
  return decodeText(buffer.subarray(0, count ?? 0));
}

/** DEN-20: package maps planted above the entry point are not looked for. */
async function plantedProbe(plan: Plan, host: ProbeHost): Promise<ProbeReport> {
  const entry = await plant(host.world.scratch);
  const args = host.planner.args(plan.entry, plan.service, plan.grants, plan.denials, entry);
  const child = await startProbe(plan, args, [], host);
  child.closeInput();
  const lines: string[] = [];
  for await (const line of child.lines) lines.push(line);
  await child.ended;
  const why = lines.join(" ");
  const found = why.startsWith("refused: ") ? "" : why === "" ? "the planted program did not run" : why;
  return report("DEN-20", "planted deno.json, package.json, .npmrc", [], found);
}

/** Lays a program with package maps of an attacker around it; its path. */
async function plant(scratch: string): Promise<string> {
  const root = `${scratch}/planted`;
  makeDirectory(root, 0o755);
  makeDirectory(`${root}/inner`, 0o755);
  const evil = `data:text/javascript,console.log("a planted module ran")`;
  const program = `const name = ${JSON.stringify(PLANTED)};\n` +
    "try { await import(name); } catch (error) { console.log(`refused: ${error.message}`); }\n";
  const files: [string, string][] = [
    ["deno.json", JSON.stringify({ imports: { [PLANTED]: evil } })],
    ["package.json", JSON.stringify({ dependencies: { [PLANTED]: "1.0.0" } })],
    [".npmrc", "registry=http://127.0.0.1:9/\n"],
    ["inner/main.js", program],
  ];
  for (const [name, content] of files) await replaceFile(`${root}/${name}`, encodeText(content), 0o644);
  return `${root}/inner/main.js`;
}
