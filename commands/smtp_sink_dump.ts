/**
 * The files that smtp-sink keeps messages in.
 *
 * @module
 */
// Safe primitives
import { ensureDirectory, safeCreate, safeOpen } from "../lib/safe/file.ts";
import { dirname } from "../lib/safe/path.ts";
// Utility
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";
// Mail
import { formatMailDate, zoneOffset } from "../lib/mail/date.ts";
// This program
import type { SinkPlan } from "./smtp_sink_options.ts";

/** Largest message that is kept, bytes. */
export const DUMP_LIMIT = 512 * 1024 * 1024;
/** Permission bits of dump files. */
const DUMP_MODE = 0o644;
const NAME_ATTEMPTS = 100;

/** What a dump says of a message. */
export interface Transaction {
  readonly clientAddress: string;
  readonly protocol: "SMTP" | "ESMTP" | "LMTP";
  /** Arguments of the last HELO; undefined when there was none. */
  readonly helo: string | undefined;
  readonly mail: string;
  readonly recipients: readonly string[];
}

/** The headers that smtp-sink puts in front of a dumped message. */
export function startDump(plan: SinkPlan, transaction: Transaction, id: string, now: number): ByteBuilder {
  const { clientAddress, protocol, helo, mail, recipients } = transaction;
  const out = new ByteBuilder(DUMP_LIMIT, 4096);
  const address = clientAddress.includes(":") ? `ipv6:${clientAddress}` : clientAddress;
  out.text(plan.dumpStart).text(`X-Client-Addr: ${address}\nX-Client-Proto: ${protocol}\n`);
  if (helo !== undefined) out.text(`X-Helo-Args: ${helo}\n`);
  out.text(`X-Mail-Args: ${mail}\n`);
  for (const recipient of recipients) out.text(`X-Rcpt-Args: ${recipient}\n`);
  out.text(`Received: from ${helo ?? `[${address}]`} ([${address}])\n`);
  out.text(`\tby ${plan.hostName} (smtp-sink) with ${protocol} id ${id};\n\t${formatMailDate(now)}\n`);
  return out;
}

/** Eight hexadecimal digits. */
export function makeDumpId(): string {
  const [number] = crypto.getRandomValues(new Uint32Array(1));
  return number!.toString(16).padStart(8, "0");
}

/** Writes a dumped message; a file of its own gets the id at the end of its name. */
export function writeDump(plan: SinkPlan, content: ByteBuilder, id: string, now: number): void {
  if (plan.dump === undefined) return;
  const name = expandTime(plan.dump.template, new Date(now));
  if (name.includes("/")) ensureDirectory(dirname(name));
  const bytes = content.text("\n").view();
  if (plan.dump.many) appendTo(name, bytes);
  else createNew(name, id, bytes);
}

function createNew(name: string, id: string, bytes: Uint8Array): void {
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    const made = safeCreate(name + (attempt === 0 ? id : makeDumpId()), DUMP_MODE);
    if (made.kind === "exists") continue;
    using file = made.file;
    file.write(bytes);
    return;
  }
  throw new Error(`Cannot create "${name}": name is taken`);
}

function appendTo(name: string, bytes: Uint8Array): void {
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    const opened = safeOpen(name, { access: "append" });
    if (opened.kind === "refused") throw new Error(`Cannot open "${name}": it ${opened.why}`);
    const made = opened.kind === "opened" ? undefined : safeCreate(name, DUMP_MODE);
    if (made?.kind === "exists") continue;
    using file = opened.kind === "opened" ? opened.file : made!.file;
    file.write(bytes);
    return;
  }
  throw new Error(`Cannot open "${name}": it comes and goes`);
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
] as const;

/** The conversions of strftime(3) that file names use, in local time and English. */
const CONVERSIONS: ReadonlyMap<string, (date: Date) => string> = new Map<string, (date: Date) => string>([
  ["a", (date) => DAYS[date.getDay()]!.slice(0, 3)],
  ["A", (date) => DAYS[date.getDay()]!],
  ["b", (date) => MONTHS[date.getMonth()]!.slice(0, 3)],
  ["B", (date) => MONTHS[date.getMonth()]!],
  ["d", (date) => two(date.getDate())],
  ["e", (date) => String(date.getDate()).padStart(2)],
  ["F", (date) => expandTime("%Y-%m-%d", date)],
  ["H", (date) => two(date.getHours())],
  ["I", (date) => two(date.getHours() % 12 || 12)],
  ["j", (date) => String(dayOfYear(date)).padStart(3, "0")],
  ["m", (date) => two(date.getMonth() + 1)],
  ["M", (date) => two(date.getMinutes())],
  ["p", (date) => date.getHours() < 12 ? "AM" : "PM"],
  ["R", (date) => expandTime("%H:%M", date)],
  ["s", (date) => String(Math.floor(date.getTime() / 1000))],
  ["S", (date) => two(date.getSeconds())],
  ["T", (date) => expandTime("%H:%M:%S", date)],
  ["y", (date) => two(date.getFullYear() % 100)],
  ["Y", (date) => String(date.getFullYear())],
  ["z", (date) => zoneOffset(-date.getTimezoneOffset())],
  ["%", () => "%"],
]);

/** A template with its strftime conversions replaced; one that is not known stays as it is. */
export function expandTime(template: string, date: Date): string {
  let out = "";
  for (let i = 0; i < template.length; i++) {
    const convert = template[i] === "%" ? CONVERSIONS.get(template[i + 1] ?? "") : undefined;
    out += convert === undefined ? template[i] : convert(date);
    if (convert !== undefined) i++;
  }
  return out;
}

function dayOfYear(date: Date): number {
  const today = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((today - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000) + 1;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
