/**
 * `sandbox --verify`: runs the probes of every service and prints what came of them.
 *
 * @module
 */
// Safe primitives
import { makeScratchDirectory } from "../lib/safe/scratch.ts";
import { bindUnix } from "../lib/safe/process.ts";
import { listenStream } from "../lib/safe/tcp_server.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { printable } from "../lib/vstring/printable.ts";
// Server skeleton
import type { CodeLocation } from "../lib/server/hardening.ts";
import type { Identity } from "../lib/server/identity.ts";
import type { ProbeWorld } from "../lib/server/probe.ts";
import { type ProbeReport, runProbes, type TriedAttempt } from "../lib/server/probe_runner.ts";
import type { Plan, Planner } from "../lib/server/sandbox.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";

/** What verifying needs. */
export interface VerifyOptions {
  readonly planner: Planner;
  readonly code: CodeLocation;
  readonly configuration: Configuration;
  /** The plans of all services, those that are not verified too. */
  readonly plans: readonly Plan[];
  readonly json: boolean;
  identity(plan: Plan): Identity | undefined;
}

interface ServiceReport {
  readonly service: string;
  readonly command: string;
  readonly probes: readonly ProbeReport[];
}

/** What the runtime cannot hold by itself, and what does where the system offers it. */
const OUTER_FENCE = [
  [
    "DEN-25",
    "runtime broken, flags void",
    "a user per trust domain, NoNewPrivileges, CapabilityBoundingSet, ProtectSystem, RestrictAddressFamilies, IPAddressDeny, SystemCallFilter of the unit",
  ],
  [
    "DEN-26",
    "memory both writable and executable",
    "MemoryDenyWriteExecute breaks the engine's compiler: not set; it would need --jitless",
  ],
  [
    "DEN-01",
    "a link planted in a granted directory",
    "lib/safe refuses links; no directory is writable by two users but maildrop/, which is sticky",
  ],
  [
    "DEN-11",
    "removing the socket of a service that it may connect to",
    "the socket directories belong to root, not to the daemons' users",
  ],
  [
    "DEN-10",
    "listening on a port that may be connected to (smtp, lmtp), on one that the system chooses (dns)",
    "one permission serves for both; the daemons' users have no privileged port; SocketBindDeny of a unit",
  ],
] as const;

/** Verifies the plans; the exit status. */
export async function verifyPlans(
  plans: readonly Plan[],
  options: VerifyOptions,
  env: CommandEnv,
): Promise<number> {
  using scratch = makeScratchDirectory("postern-probe-");
  let arrived = 0;
  const listening = await listenStream(
    { kind: "inet", host: "127.0.0.1", port: 0, family: 4 },
    10,
    (channel) => {
      arrived++;
      channel.destroy();
    },
    () => {},
  );
  if (listening.kind === "failed") {
    throw new CommandError(`fatal: Cannot listen on loopback: ${listening.why}`);
  }
  const scratchSocket = `${scratch.path}/socket`;
  const socket = bindUnix(scratchSocket, 0o666);
  try {
    const world: ProbeWorld = {
      runtime: options.code.runtime,
      queueDirectory: options.configuration.settings.queue_directory,
      configDirectory: options.configuration.directory,
      scratch: scratch.path,
      scratchSocket,
      loopbackPort: listening.server.port,
      plans: options.plans,
    };
    const reports: ServiceReport[] = [];
    for (const plan of plans) {
      const probes = await runProbes(plan, { ...options, world });
      reports.push({ service: plan.entry.name, command: plan.service.command, probes });
      if (!options.json) env.err(`${plan.entry.name}: ${summary(probes)}\n`);
    }
    env.out(options.json ? formatJson(reports) : formatTable(reports));
    if (arrived > 0) {
      env.err(`sandbox: ${arrived} connections reached a socket that is for none of the daemons\n`);
    }
    return arrived === 0 && reports.every(({ probes }) => probes.every((probe) => probe.ok)) ? 0 : 1;
  } finally {
    socket.close();
    listening.server.close();
  }
}

function summary(probes: readonly ProbeReport[]): string {
  const attempts = probes.reduce((sum, probe) => sum + probe.attempts.length, 0);
  const failed = probes.filter((probe) => !probe.ok).length;
  return `${probes.length} probes, ${attempts} attempts, ${
    failed === 0 ? "all as they must be" : `${failed} FAILED`
  }`;
}

function formatJson(reports: readonly ServiceReport[]): string {
  const outerFence = OUTER_FENCE.map(([id, what, by]) => ({ id, what, by }));
  return JSON.stringify({ services: reports, outerFence }, undefined, 2) + "\n";
}

/** Services by probes, then what each probe is, then every failure. */
export function formatTable(reports: readonly ServiceReport[]): string {
  const width = Math.max(8, ...reports.map((report) => report.service.length)) + 1;
  const probes = reports[0]?.probes ?? [];
  const lines = ["".padEnd(width) + probes.map((probe) => probe.id.padStart(7)).join("")];
  for (const { service, probes } of reports) {
    lines.push(
      service.padEnd(width) + probes.map((probe) => (probe.ok ? "ok" : "FAIL").padStart(7)).join(""),
    );
  }
  lines.push("");
  for (const { id, title } of probes) lines.push(`${id.padEnd(8)}${title}`);
  lines.push("", "Outer fence, not tried here:");
  for (const [id, what, by] of OUTER_FENCE) lines.push(`${id.padEnd(8)}${what}: ${by}`);
  for (const { service, probes } of reports) {
    lines.push(...probes.flatMap((probe) => failures(service, probe)));
  }
  return lines.join("\n") + "\n";
}

function failures(service: string, probe: ProbeReport): string[] {
  if (probe.ok) return [];
  const lines = ["", `FAIL ${service} ${probe.id} ${probe.title}`];
  if (probe.why !== "") lines.push(`  ${printable(probe.why, 500)}`);
  for (const one of probe.attempts) if (!one.ok) lines.push(`  ${formatAttempt(one)}`);
  return lines;
}

function formatAttempt({ attempt, expect, result, why }: TriedAttempt): string {
  const { op, ...rest } = attempt;
  const object = Object.values(rest).join(" ");
  return `${op} ${object}: must be ${expect}, was ${result}: ${printable(why, 300)}`;
}
