/**
 * spawn - starts a program for each connection
 *
 * Description: for each connection to the socket of its service the program that master.toml names is started, with the
 * connection as its standard input, output and error. The service's `arguments` are the attributes of Postfix's
 * spawn(8):
 *
 * - `user=NAME` or `user=NAME:GROUP` (required): whose rights the program has. Not root, and not the mail system.
 * - `argv=/path/program ARGUMENT ...` (required, last): started directly, never by a shell. `{` and `}` around an
 *   argument keep its blanks.
 *
 * The program ends by itself; one that runs for longer than the time limit is killed with all processes of its group, and
 * the connection is closed.
 *
 * Security: each spawn service is a process of its own under the program's user, whose permission is to run that one
 * program: no file, no socket beyond the one that it inherits. Bytes are passed between the connection and the program
 * and are not looked at. The environment is built anew: PATH and export_environment. It cannot send a signal to a group:
 * master does, as the program's own user. What the program does is bounded by its user's rights and by nothing else.
 *
 * Standards: none.
 *
 * Diagnostics: warnings when a program cannot be started, ends with another status than 0, or takes too long.
 *
 * Parameters: of what decides (SERVICE_time_limit, command_time_limit, export_environment) master has made its task.
 *
 * Known limits: bytes are passed through two pipes, as this process cannot give the connection itself away: what the
 * program writes to standard output and standard error within a moment may arrive in the other order, and it sees a pipe
 * and no socket. Not more than 100 programs at once in one process; more clients wait. A process that leaves the
 * program's session is not killed with it.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal } from "../../lib/safe/error.ts";
// Server skeleton
import { runStreamDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { SpawnSession } from "./spawn_session.ts";

/** Programs at once. */
const SESSION_LIMIT = 100;

await runStreamDaemon(SERVICE, (context, process) => {
  const task = process.boot.helper;
  if (task?.kind !== "program") return context.fatal("service has no program");
  const running = new Set<SpawnSession>();
  context.onEnd(() => {
    for (const session of running) session.kill();
    return Promise.resolve();
  });
  const host = {
    log: context.log,
    directory: context.settings.queue_directory,
    killGroup: (leader: number) => process.tell({ word: "killGroup", leader }),
    trouble: (error: unknown) => {
      if (isSandboxRefusal(error)) context.trouble("run program", error);
      else context.log.warning(error instanceof Error ? error.message : String(error));
    },
  };
  return {
    sessionLimit: SESSION_LIMIT,
    session: (channel, done) => {
      const session = SpawnSession.start(task, host, channel);
      if (session === undefined) return done();
      running.add(session);
      session.over.then(() => {
        running.delete(session);
        done();
      });
    },
  };
});
