/**
 * program - runs one program for local or pipe
 *
 * Description: master starts one process when local or pipe asks for a command, under the user and group id that it is
 * to run as. The process serves the one connection that it inherits: for each message it starts the program, feeds it
 * the text, and tells how it ended and the first 4096 bytes of what it wrote. It stays for further messages, and ends
 * when the connection closes; local and pipe close it when there was nothing to run for mailbox_helper_idle seconds. A
 * program that runs for longer than its time limit is killed with all processes of its group.
 *
 * Security: its permission is to run that one program, no file and no socket. The program, and for commands of aliases
 * and .forward files its arguments, are fixed when the process is started, from what master itself has found in the
 * configuration or was told by the process that read the file; a message brings the values of the variables that tell
 * of it (pipe: the arguments). The environment is built anew: PATH, export_environment, and those variables. It cannot
 * send a signal to a group: master does, as the program's own user. What the program does is bounded by its user's
 * rights and by nothing else.
 *
 * Standards: sysexits.h, as local and pipe read the exit status.
 *
 * Diagnostics: every failure is the answer to the agent, which logs it.
 *
 * Parameters: none; of what decides (command_time_limit, export_environment) master has made its task.
 *
 * Known limits: standard output and standard error are two pipes: what the program writes to both within a moment may
 * stand in the other order. A process that leaves the program's session is not killed with it.
 *
 * @module
 */
// Server skeleton
import { runHelperDaemon } from "../../lib/server/daemon.ts";
import { MAILBOX } from "../../lib/proto/protocols.ts";
// This program
import { ProgramRuns } from "./program_session.ts";
import { SERVICE } from "./service.ts";

await runHelperDaemon(SERVICE, MAILBOX, (context, process) => {
  const task = process.boot.helper;
  if (task?.kind !== "program") {
    return context.fatal("this program is started by master with a program to run");
  }
  const runs = new ProgramRuns(task, {
    killGroup: (leader) => process.tell({ word: "killGroup", leader }),
    refused: (error) => context.trouble("run program", error),
  });
  context.onRetire(() => runs.idle());
  context.onEnd(() => Promise.resolve(runs.abort()));
  return runs.handler;
});
