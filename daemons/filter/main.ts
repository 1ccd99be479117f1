/**
 * NAME
 *   filter - runs a mail filter of one's own
 *
 * DESCRIPTION
 *   Loads the file that filter_file names, a TypeScript module with `may` and `filter`, and serves the milter protocol on
 *   its socket: smtpd and cleanup ask it where smtpd_milters or non_smtpd_milters has "filter:NAME". The filter is called
 *   once for each message, as soon as its header is there, takes the body as it comes, and says what becomes of the
 *   message and what is changed in it. docs/filters.md says how to write one.
 *
 * SECURITY
 *   The file is the administrator's, and what it is given is from strangers. What it may touch stands in the file itself
 *   (`may`) and is read from there without running it: master makes exactly those grants, and the runtime refuses the
 *   rest. Master starts no file that others than root and itself may change. A filter that fails, takes too long or gives
 *   back what is no result ends its connection, and the message gets what milter_default_action says; one that blocks the
 *   process is ended by master's watchdog, and a new process serves the next message.
 *
 * STANDARDS
 *   The milter protocol, version 6.
 *
 * DIAGNOSTICS
 *   "ID: filter: VERDICT, EDITS" for each message; "ID: filter failed: ..." with what went wrong. A file that cannot be
 *   loaded ends the process.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   A filter sees whole messages only, no single commands. It must not give two results for one message.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
import { readTextFile } from "../../lib/safe/file.ts";
import { loadModule } from "../../lib/safe/module.ts";
// Filters
import type { Filter } from "../../lib/filter/filter.ts";
import { FILTER_FILE_LIMIT, parseFilterDeclaration } from "../../lib/filter/filter_declaration.ts";
import { type FilterHost, FilterSession } from "../../lib/filter/filter_session.ts";
// Server skeleton
import type { Context } from "../../lib/server/context.ts";
import { runStreamDaemon, type StreamService } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Connections at once; more wait in the system's queue. */
const SESSION_LIMIT = 500;

function serve(host: FilterHost, channel: Channel, done: () => void): void {
  let drained: (() => void) | undefined;
  const session = new FilterSession(host, {
    write: (bytes) => channel.write(bytes) ? Promise.resolve() : new Promise((resolve) => drained = resolve),
    close: () => channel.close(),
  });
  channel.start({
    data: (bytes) => session.data(bytes),
    drained: () => drained?.(),
    closed: () => {
      drained?.();
      session.closed();
      done();
    },
  });
}

async function start(context: Context<typeof SERVICE>): Promise<StreamService> {
  const { filter_file } = context.settings;
  const { time } = parseFilterDeclaration(readTextFile(filter_file, FILTER_FILE_LIMIT));
  const { filter } = await loadModule(filter_file);
  if (typeof filter !== "function") context.fatal(`"${filter_file}" exports no function "filter"`);
  const host: FilterHost = { filter: filter as Filter, time, log: context.log };
  return { sessionLimit: SESSION_LIMIT, session: (channel, done) => serve(host, channel, done) };
}

await runStreamDaemon(SERVICE, start);
