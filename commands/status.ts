/**
 * NAME
 *   status - says whether the mail system runs
 *
 * DESCRIPTION
 *   On standard error Postfix's line, with the number of master's process; on standard output each process with its
 *   service, its age in seconds, what it is busy with and what it has served, and how often the sandbox refused
 *   something to each daemon. Master writes these figures every five seconds.
 *
 * DIAGNOSTICS
 *   Status 1 when no mail system runs.
 *
 * PARAMETERS
 *   queue_directory, syslog_name
 *
 * @module
 */
// This program
import type { CommandEnv } from "./command.ts";
import {
  announce,
  type MasterStatus,
  masterStatus,
  refuseArguments,
  runningMaster,
} from "./master_control.ts";

/** Prints the state of the mail system. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  refuseArguments(args, env);
  const configuration = env.config();
  const queue = configuration.settings.queue_directory;
  const pid = runningMaster(queue);
  if (pid === undefined) {
    announce(env, configuration, "the Postern mail system is not running");
    return 1;
  }
  announce(env, configuration, `the Postern mail system is running: PID: ${pid}`);
  const status = masterStatus(queue);
  if (status?.pid === pid) env.out(formatStatus(status, Date.now()));
  return 0;
}

/** The figures as a table. */
export function formatStatus(status: MasterStatus, now: number): string {
  const lines = [row("SERVICE", "PID", "AGE", "BUSY", "USED")];
  for (const { service, pid, started, busy, used } of status.processes) {
    lines.push(row(service, pid, Math.max(0, Math.round((now - started) / 1000)), busy, used));
  }
  const events = Object.entries(status.securityEvents);
  lines.push(events.length === 0 ? "Security events: none\n" : "Security events:\n");
  for (const [daemon, count] of events) lines.push(`  ${daemon.padEnd(20)} ${count}\n`);
  return lines.join("");
}

function row(service: string, ...figures: readonly (string | number)[]): string {
  return `${service.padEnd(22)}${figures.map((figure) => String(figure).padStart(9)).join("")}\n`;
}
