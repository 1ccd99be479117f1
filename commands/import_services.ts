/**
 * Services of master.cf as services of master.toml.
 *
 * @module
 */
// Safe primitives
import { readTextFile } from "../lib/safe/file.ts";
// Utility
import { readPipeAttributes, readSpawnAttributes } from "../lib/config/pipe_attributes.ts";
import type { Problem } from "../lib/config/problem.ts";
import { isTable, readTomlFile, type Table } from "../lib/config/toml_file.ts";
import { splitBlanks } from "../lib/vstring/ascii.ts";
// This program
import { COMMANDS, SERVICES } from "../daemons/services.ts";
import MASTER_SAMPLE from "../conf/master.toml" with { type: "text" };
import type { ImportReport } from "./import_report.ts";
import type { CfService, MasterCf } from "./import_source.ts";

/** A service that is taken over. */
export interface PlannedService {
  /** Where it comes from; undefined for one that Postfix does not have. */
  readonly source: CfService | undefined;
  readonly name: string;
  readonly type: "inet" | "unix" | "pass";
  readonly private: boolean;
  readonly command: string;
  readonly wakeup?: string | undefined;
  /** Of a pipe or spawn service. */
  readonly arguments?: readonly string[] | undefined;
}

/** Services that other daemons look for, whatever master.cf has. */
const REQUIRED: readonly string[] = [
  "pickup",
  "cleanup",
  "qmgr",
  "rewrite",
  "proxymap",
  "dns",
  "bounce",
  "defer",
  "trace",
  "showq",
  "error",
  "retry",
];

/** Programs of Postfix that have another name here. */
const RENAMED: ReadonlyMap<string, string> = new Map([["nqmgr", "qmgr"], ["oqmgr", "qmgr"]]);

/** Programs of Postfix whose work is done elsewhere here, or that serve one that is not there. */
const UNNEEDED: ReadonlyMap<string, string> = new Map([
  ["flush", "qmgr finds the messages of a destination itself"],
  ["postlogd", "daemons write the log themselves"],
  ["scache", "each client process keeps its own connections"],
  ["tlsmgr", "there is no TLS that it would serve"],
]);

/** Ports that master.toml knows by name. */
const PORT_NAMES: ReadonlySet<string> = new Set(["lmtp", "smtp", "smtps", "submission", "submissions"]);
const SERVICES_FILE = "/etc/services";
const SERVICES_FILE_LIMIT = 4 * 1024 * 1024;

/** The services that there will be, in the order of master.cf; what Postern needs beside them comes last. */
export function planServices(master: MasterCf, file: string, report: ImportReport): PlannedService[] {
  const samples = sampleServices();
  const planned: PlannedService[] = [];
  for (const source of master.services) {
    const service = planService(source, samples, `${file}:${source.line}`, report);
    if (service !== undefined) planned.push(service);
  }
  for (const name of REQUIRED) {
    if (planned.some((one) => one.type === "unix" && one.name === name)) continue;
    planned.push(samples.get(name)!);
    report.add("changed", file, `${name}/unix`, "Postern needs this service, so it is there");
  }
  // What postscreen knows of clients is kept by a daemon that a master.cf with it may do without.
  if (planned.some(({ command }) => command === "postscreen") && !planned.some(isProxywrite)) {
    planned.push(PROXYWRITE);
    report.add("changed", file, "proxywrite/unix", "postscreen needs this service, so it is there");
  }
  return planned;
}

/** The service that keeps caches. */
const PROXYWRITE: PlannedService = {
  source: undefined,
  name: "proxywrite",
  type: "unix",
  private: true,
  command: "proxywrite",
};

function isProxywrite({ command }: PlannedService): boolean {
  return command === "proxywrite";
}

function planService(
  source: CfService,
  samples: ReadonlyMap<string, PlannedService>,
  place: string,
  report: ImportReport,
): PlannedService | undefined {
  const subject = `${source.name}/${source.type}`;
  const lose = (why: string, cure: string) => void report.add("unsupported", place, subject, why, cure);
  // In Postfix that is proxymap under another name.
  const command = source.name === "proxywrite" ? "proxywrite" : RENAMED.get(source.command) ?? source.command;
  const sample = source.type === "inet" ? undefined : samples.get(source.name);
  const unneeded = UNNEEDED.get(command);
  if (unneeded !== undefined && !SERVICES.has(command) && sample === undefined) {
    return void report.add("unneeded", place, subject, unneeded);
  }
  if (!COMMANDS.includes(command)) {
    return lose(`there is no daemon "${command}"`, "leave it out");
  }
  // Other daemons look for these by name and connect as the sample says.
  if (sample !== undefined && sample.command === command) {
    return { ...sample, source, wakeup: wakeupOf(source) ?? sample.wakeup };
  }
  if (source.type === "pass" && command === "smtpd") {
    return { source, name: source.name, type: "pass", private: true, command, wakeup: undefined };
  }
  if (source.type === "fifo" || (source.type !== "inet" && source.type !== "unix")) {
    return lose(`there is no service type "${source.type}"`, "use inet or unix");
  }
  const name = source.type === "inet" ? endpointName(source.name) : source.name;
  if (name === undefined) return lose("its port is not in /etc/services", "name the port by its number");
  const isPrivate = source.type === "unix" && source.private !== "n";
  const wakeup = wakeupOf(source);
  const planned: PlannedService = { source, name, type: source.type, private: isPrivate, command, wakeup };
  if (command !== "pipe" && command !== "spawn") return planned;
  const items = pipeArguments(source, place, subject, report);
  return items === undefined ? undefined : { ...planned, arguments: items };
}

/** The attributes of a pipe or spawn service, without those that it cannot have; undefined when it cannot be without them. */
function pipeArguments(
  source: CfService,
  place: string,
  subject: string,
  report: ImportReport,
): readonly string[] | undefined {
  const items = source.args.filter((word) => !word.startsWith("chroot="));
  const read = source.command === "spawn" ? readSpawnAttributes(items) : readPipeAttributes(items);
  if (read.kind === "bad") {
    return void report.add("unsupported", place, subject, read.why, read.cure ?? "write the service anew");
  }
  for (const word of source.args.filter((one) => !items.includes(one))) {
    const why = `attribute "${word}": the program is not shut up in a directory`;
    report.add("unsupported", place, subject, why, "bound it by its user, or by the systemd unit");
  }
  return items;
}

/** The port with a name that master.toml knows, or as a number; undefined when nobody knows it. */
function endpointName(name: string): string | undefined {
  const colon = name.lastIndexOf(":");
  const port = name.slice(colon + 1);
  if (/^[0-9]+$/.test(port) || PORT_NAMES.has(port)) return name;
  let text: string;
  try {
    text = readTextFile(SERVICES_FILE, SERVICES_FILE_LIMIT);
  } catch {
    return undefined; // a system without the file knows no names
  }
  for (const line of text.split("\n")) {
    const [official, numbered = "", ...aliases] = splitBlanks(line.split("#")[0]!);
    const [number, protocol] = numbered.split("/");
    if (protocol !== "tcp" || ![official, ...aliases].includes(port)) continue;
    return name.slice(0, colon + 1) + number;
  }
  return undefined;
}

/** `60` as "60s", `300?` as "300s?". */
function wakeupOf({ wakeup }: CfService): string | undefined {
  return /^[1-9][0-9]*\??$/.test(wakeup) ? wakeup.replace(/^[0-9]+/, "$&s") : undefined;
}

/** The services of the sample master.toml, of type unix, by name. */
function sampleServices(): ReadonlyMap<string, PlannedService> {
  const problems: Problem[] = [];
  const file = readTomlFile("master.toml", () => MASTER_SAMPLE, problems);
  const tables: unknown = file?.table["service"];
  if (!Array.isArray(tables)) throw new Error("Cannot read the sample master.toml: it has no services");
  const services = tables.filter(isTable).filter((table) => table["type"] === "unix").map(sampleService);
  return new Map(services.map((service) => [service.name, service]));
}

function sampleService(table: Table): PlannedService {
  const text = (key: string) => typeof table[key] === "string" ? table[key] : "";
  const wakeup = text("wakeup");
  return {
    source: undefined,
    name: text("name"),
    type: "unix",
    private: table["private"] !== false,
    command: text("command"),
    wakeup: wakeup === "" ? undefined : wakeup,
  };
}
