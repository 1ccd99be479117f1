/**
 * One case on one file system: both systems run below a directory of their own and get the load in turn.
 *
 * @module
 */
import { type Case, type Load, MAIL_ID, MAILDIRS, type Settings } from "./cases.ts";
import { Probe, send, Sink } from "./clients.ts";
import { writeDeferred } from "./deferred.ts";
import { type Figures, measure } from "./measure.ts";
import { type DaemonSizes, daemonSizes } from "./processes.ts";
import type { Runs, Section } from "./report.ts";
import { hasPostfix, type Running, startPostern, startPostfix } from "./systems.ts";

/** How much is measured. */
export interface Extent {
  readonly pairs: number;
  /** --messages. */
  readonly messages: number;
  /** Parameters of Postfix that differ from its defaults. */
  readonly postfix: Settings;
}

/**
 * Messages that are sent before the first pair, by --messages, where the load has many: a mail system runs for weeks, and
 * the runtime has compiled what is hot after some thousands.
 */
const WARM_UP = 2;
/** Loads of so few messages take long for each: one of them must do. */
const FEW = 10;
/** How long a system is left alone before its idle memory is read, milliseconds. */
const IDLE = 1000;

/** A directory for what the load needs, removed with everything in it. */
class WorkDirectory implements Disposable {
  readonly path: string;

  constructor(below: string) {
    this.path = Deno.makeTempDirSync({ prefix: "bench-", dir: below });
    Deno.chmodSync(this.path, 0o755); // Postfix's daemons have a user of their own
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Runs a case below a directory; the figures of each system that could be measured. */
export async function runCase(
  row: Case,
  below: string,
  extent: Extent,
  signal: AbortSignal,
): Promise<Pick<Section, "postern" | "postfix">> {
  const load = row.load(extent.messages);
  using directory = new WorkDirectory(below);
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await Sink.start());
  const systems: Running[] = [];
  const settings = () => settingsFor(row, load, directory.path, sink.port);
  // Not below our directory: the paths of their sockets may not be long.
  if (hasPostfix()) systems.push(stack.use(await startPostfix(below, { ...settings(), ...extent.postfix })));
  signal.throwIfAborted();
  systems.push(stack.use(await startPostern(below, { ...settings(), ...row.postern })));
  const idle: DaemonSizes[] = [];
  const figures = systems.map((): Figures[] => []);
  for (const system of systems) idle.push(await prepare(row, system, load, extent.messages, signal));
  for (let pair = 0; pair < extent.pairs; pair++) {
    for (const [i, system] of systems.entries()) {
      figures[i]!.push(await measure(system, load, row.daemons ?? [], signal));
    }
  }
  const runs = systems.map((_, i): Runs => ({ figures: figures[i]!, idle: idle[i]! }));
  return runs.length === 1 ? { postern: runs[0]! } : { postern: runs[1]!, postfix: runs[0]! };
}

/** The case's settings for the system that is started next. */
function settingsFor(row: Case, load: Load, directory: string, sink: number): Settings {
  const mailboxes = `${directory}/mailboxes`;
  const mail = Deno.makeTempDirSync({ prefix: "mail-", dir: directory });
  if (load.numbered) {
    const lines = Array.from({ length: load.messages + 1 }, (_, i) => `${i}${load.to} box${i % MAILDIRS}/\n`);
    Deno.writeTextFileSync(mailboxes, lines.join(""));
    Deno.chownSync(mail, MAIL_ID, MAIL_ID);
    Deno.chmodSync(mail, 0o755);
  }
  return { ...row.route({ sink, mailboxes, mail }), ...row.settings };
}

/** Brings a system into the state in which it is measured, and gives the idle sizes of its daemons. */
async function prepare(
  row: Case,
  system: Running,
  load: Load,
  messages: number,
  signal: AbortSignal,
): Promise<DaemonSizes> {
  const daemons = row.daemons ?? [];
  // One small message, so that every daemon of its way runs.
  const small = { ...load, messages: 1, length: Math.min(load.length, 1024), recipients: 1 };
  await measure(system, { ...small, client: "probe" }, [], signal);
  if (daemons.length > 0) await new Promise((resolve) => setTimeout(resolve, IDLE));
  const idle = daemonSizes(system.pids(), daemons);
  if (row.deferred !== undefined) {
    await writeDeferred(system.queue, row.deferred(messages), signal);
    await system.scanDeferred();
  }
  // A numbered load has an address for each of its messages and no more.
  const many = load.numbered ? load.messages : messages * WARM_UP;
  const warmUp = load.messages < FEW ? 1 : many;
  await measure(system, { ...load, messages: warmUp }, [], signal);
  return idle;
}

/** What the client reaches without a mail system, once for a case. */
export async function measureClient(load: Load, signal: AbortSignal): Promise<number> {
  await using sink = await Sink.start();
  await using probe = await Probe.start(sink.port, load);
  const { messages, seconds } = await send(sink.port, load, probe, signal);
  return messages / seconds;
}
