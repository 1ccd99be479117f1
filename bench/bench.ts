/**
 * Postern beside Debian's Postfix: messages per second from end to end, processor time per message, memory, and the
 * time that a client waits for the final 250. docs/performance.md says what is measured and how.
 *
 * `deno task bench [--quick] [--case a,b,...] [--place disk,tmpfs] [--pairs N] [--messages N] [--disk DIR]
 * [--tmpfs DIR] [--out DIR] [--postfix NAME=VALUE]...`. Both systems run at the same time on the same file system, each with a directory of its
 * own, and are driven in turn, Postfix then Postern, by the same load. It measures on the disk, below --disk (default:
 * the system's temporary directory), and on a tmpfs: the one of --tmpfs, or one that it mounts below the temporary
 * directory when root runs it. Tables go to standard output; table.txt, figures.json and chart.svg into --out
 * (default: .bench), after every case anew. --postfix sets a parameter of Postfix, which has its defaults otherwise.
 *
 * Without Postfix, or without root, which Postfix needs, Postern alone is measured.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Case, CASES, FULL } from "./cases.ts";
import { drawChart } from "./chart.ts";
import { describeMachine, fileSystemType, type Machine, MountedTmpfs, readMachine } from "./machine.ts";
import { formatOverview, formatSection, type Section, sectionJson } from "./report.ts";
import { type Extent, measureClient, runCase } from "./run_case.ts";
import { hasPostfix } from "./systems.ts";

interface Options extends Extent {
  readonly cases: readonly Case[];
  readonly places: readonly string[];
  readonly disk: string;
  readonly tmpfs: string | undefined;
  readonly out: string;
}

/** A directory to measure in. */
interface Place {
  readonly name: string;
  readonly directory: string;
}

/** What --quick is. */
const QUICK = { pairs: 2, messages: 600 };
const PLACES: readonly string[] = ["disk", "tmpfs"];

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: args.filter((arg) => arg !== "--"),
    options: {
      quick: { type: "boolean", default: false },
      case: { type: "string", default: CASES.map(({ letter }) => letter).join(",") },
      place: { type: "string", default: PLACES.join(",") },
      pairs: { type: "string" },
      messages: { type: "string" },
      disk: { type: "string", default: Deno.env.get("TMPDIR") ?? "/tmp" },
      tmpfs: { type: "string" },
      out: { type: "string", default: ".bench" },
      postfix: { type: "string", multiple: true, default: [] },
    },
  });
  const extent = values.quick ? QUICK : { pairs: 5, messages: FULL };
  return {
    pairs: positive("pairs", values.pairs ?? String(extent.pairs)),
    messages: positive("messages", values.messages ?? String(extent.messages)),
    cases: values.case.split(",").map(findCase),
    places: values.place.split(",").map(checkPlace),
    disk: values.disk,
    tmpfs: values.tmpfs,
    out: values.out,
    postfix: Object.fromEntries(values.postfix.map(splitSetting)),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`--${name} "${text}" is not a positive number`);
  }
  return value;
}

function splitSetting(text: string): [name: string, value: string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new Error(`--postfix "${text}" is not NAME=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function findCase(letter: string): Case {
  const found = CASES.find((row) => row.letter === letter);
  if (found !== undefined) return found;
  const known = CASES.map((row) => `  ${row.letter}  ${row.title}`).join("\n");
  throw new Error(`--case "${letter}" is not known; these are:\n${known}`);
}

function checkPlace(name: string): string {
  if (PLACES.includes(name)) return name;
  throw new Error(`--place "${name}" is neither disk nor tmpfs`);
}

/** Where it can be measured. What is mounted for it is put on the stack. */
function openPlaces(options: Options, stack: DisposableStack): Place[] {
  const places: Place[] = [];
  if (options.places.includes("disk")) places.push({ name: "disk", directory: options.disk });
  if (!options.places.includes("tmpfs")) return places;
  if (options.tmpfs !== undefined) places.push({ name: "tmpfs", directory: options.tmpfs });
  else if (Deno.uid() === 0) places.push({ name: "tmpfs", directory: stack.use(new MountedTmpfs()).path });
  else console.error("Nothing is measured on tmpfs: mounting one takes root, and --tmpfs names none.\n");
  return places;
}

/** Every case at every place, one after the other. */
async function* sections(options: Options, signal: AbortSignal): AsyncGenerator<Section> {
  using stack = new DisposableStack();
  const places = openPlaces(options, stack);
  for (const row of options.cases) {
    const load = row.load(options.messages);
    const clientAlone = await measureClient(load, signal);
    for (const { name, directory } of places) {
      const runs = await runCase(row, directory, options, signal);
      const place = `${directory}, ${fileSystemType(directory)}`;
      const deferred = row.deferred?.(options.messages) ?? 0;
      const { letter, title } = row;
      yield { letter, title, name, place, load, deferred, clientAlone, ...runs };
    }
  }
}

/** Writes all that was measured so far. */
function writeReport(options: Options, heading: string, machine: Machine, done: readonly Section[]): void {
  const { out: directory, pairs, messages, postfix } = options;
  Deno.mkdirSync(directory, { recursive: true });
  const text = [heading, ...done.map(formatSection), formatOverview(done)].join("\n");
  const json = JSON.stringify(
    { machine, pairs, messages, postfix, sections: done.map(sectionJson) },
    undefined,
    2,
  );
  Deno.writeTextFileSync(`${directory}/table.txt`, text);
  Deno.writeTextFileSync(`${directory}/figures.json`, json + "\n");
  Deno.writeTextFileSync(`${directory}/chart.svg`, drawChart(done, heading.trim().replaceAll("\n", "; ")));
}

async function main(options: Options, signal: AbortSignal): Promise<void> {
  const machine = readMachine(hasPostfix());
  const tuned = Object.entries(options.postfix).map(([name, value]) => ` ${name}=${value}`).join("");
  const heading = `${options.pairs} pairs of runs; ${describeMachine(machine)}${tuned}\n`;
  console.log(heading);
  if (!hasPostfix()) {
    console.error(
      "Debian's Postfix is not measured: it takes root, and `apt-get install postfix` where it is missing.\n",
    );
  }
  const done: Section[] = [];
  for await (const section of sections(options, signal)) {
    done.push(section);
    console.log(formatSection(section));
    writeReport(options, heading, machine, done);
  }
  console.log(formatOverview(done));
  console.log(`Written to ${options.out}: table.txt, figures.json, chart.svg`);
}

// Ctrl-C stops both systems, and unmounts what was mounted. A second one changes nothing: that may take seconds.
const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(name, () => interrupted.abort(new Error(`ended by ${name}`)));
}
try {
  await main(readOptions(Deno.args), interrupted.signal);
  Deno.exit(0);
} catch (error) {
  // What fails then, fails as its peer was interrupted as well.
  const why = interrupted.signal.aborted ? interrupted.signal.reason : error;
  console.error(`bench: ${why instanceof Error ? why.message : why}`);
  Deno.exit(interrupted.signal.aborted ? 130 : 1);
}
