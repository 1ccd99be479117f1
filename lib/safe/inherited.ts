/**
 * Listening sockets that whoever started us has bound already, as systemd does for a socket unit (sd_listen_fds(3)):
 * they stand from descriptor 3 on, and two variables of the environment tell how many there are and for whom.
 *
 * Permissions needed: `-A`, to read /proc.
 *
 * @module
 */
import { readTextFile } from "./file.ts";
import { isMissing, SystemError } from "./error.ts";
import { parseDecimal, splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";

/** Descriptor of the first one. */
const FIRST = 3;
/** Most that are looked at. */
const MOST = 1024;
/** Highest descriptor that is covered in children; beyond it nobody opens one without meaning to. */
const HIGHEST = 255;
/** O_CLOEXEC as fdinfo tells it. */
const CLOSE_ON_EXEC = 0o2000000;
/** State of a listening socket in the system's tables. */
const LISTENING = "0A";
const SOCKET_TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** Largest table of the system's sockets that is read, bytes. */
const TABLE_LIMIT = 256 * 1024 * 1024;

/** A socket that listens on a TCP address. */
export interface InheritedListener {
  readonly descriptor: number;
  /** Text form, as "127.0.0.1" or "::". */
  readonly host: string;
  readonly port: number;
}

/**
 * How many descriptors were handed to this process; 0 when there are none or they are for another process.
 *
 * @param variable looks a variable of the environment up
 * @param pid our process number
 */
export function inheritedCount(variable: (name: string) => string | undefined, pid: number): number {
  // A variable that was meant for a parent of ours must not make us take some descriptor of our own for a socket.
  if (parseDecimal(variable("LISTEN_PID") ?? "") !== pid) return 0;
  return parseDecimal(variable("LISTEN_FDS") ?? "", MOST) ?? 0;
}

/** The system's names of all sockets that listen on TCP addresses. */
export function listeningTcpSockets(): Set<string> {
  return new Set(SOCKET_TABLES.flatMap((path) => [...parseSocketTable(readTable(path)).keys()]));
}

/** The inherited sockets that listen on TCP addresses, lowest descriptor first. */
export function inheritedListeners(): InheritedListener[] {
  const count = inheritedCount((name) => Deno.env.get(name), Deno.pid);
  if (count === 0) return [];
  const table = new Map(SOCKET_TABLES.flatMap((path) => [...parseSocketTable(readTable(path))]));
  const found: InheritedListener[] = [];
  for (let descriptor = FIRST; descriptor < FIRST + count; descriptor++) {
    const address = table.get(socketName(descriptor));
    if (address !== undefined) found.push({ descriptor, ...address });
  }
  return found;
}

/** A table's text, empty where the system has none, as without IPv6. */
function readTable(path: string): string {
  try {
    return readTextFile(path, TABLE_LIMIT);
  } catch (error) {
    if (error instanceof SystemError && isMissing(error.cause)) return "";
    throw error;
  }
}

/** The one among them that listens on exactly this address. */
export function findInherited(
  listeners: readonly InheritedListener[],
  host: string,
  port: number,
): InheritedListener | undefined {
  const address = parseIpAddress(host);
  if (address === undefined) return undefined;
  const plain = formatIpAddress(address);
  return listeners.find((one) => one.host === plain && one.port === port);
}

/**
 * Descriptors that cover the inherited ones in a child: those of systemd, and what a careless parent left open. The
 * runtime passes on whatever was opened without the close-on-exec mark, and can set none: a daemon that owns no network
 * socket would have one, or a file. So each number gets /dev/null unless the child has something of its own there.
 *
 * @param used descriptors of its own that the child gets, from 3 on
 */
export function coverInherited(used: number): number[] {
  lastInherited ??= highestInheritable();
  const count = lastInherited + 1 - FIRST;
  return count > used ? nullDescriptors(count - used, lastInherited + 1) : [];
}

/** Looked for once: what this process opens itself is not inherited. */
let lastInherited: number | undefined;

/** The highest descriptor that a child would inherit; 2 when there is none beside the standard ones. */
function highestInheritable(): number {
  const numbers = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name));
  return Math.max(FIRST - 1, ...numbers.filter((number) => number <= HIGHEST && isInheritable(number)));
}

/** Something that a child would get and could use; of /dev/null the runtime itself keeps one open. */
function isInheritable(number: number): boolean {
  if (linkTarget(number) === "/dev/null") return false;
  const flags = readTable(`/proc/self/fdinfo/${number}`).split("\n").find((line) =>
    line.startsWith("flags:")
  );
  return flags !== undefined && (Number.parseInt(flags.slice("flags:".length), 8) & CLOSE_ON_EXEC) === 0;
}

/**
 * That many descriptors of /dev/null, none below `least`: one each, as the runtime passes none on twice, and out of the
 * way of the numbers that they get in the child, as the runtime closes what it has passed on.
 */
function nullDescriptors(count: number, least: number): number[] {
  let found = findNulls(least);
  try {
    // The system gives the lowest number that is free: those below are used up first.
    for (let i = 0; found.length < count && i < count + least; i++) {
      Deno.openSync("/dev/null", { write: true });
      if (i >= count - 1) found = findNulls(least);
    }
  } catch (error) {
    throw new SystemError("open", "/dev/null", error);
  }
  if (found.length >= count) return found.slice(0, count);
  throw new SystemError("find descriptor of", "/dev/null", new Error("it is not open"));
}

function findNulls(least: number): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .filter((number) => number >= least && linkTarget(number) === "/dev/null");
}

/** What the system calls the object behind a descriptor, as "socket:[4711]". */
function socketName(descriptor: number): string {
  const target = linkTarget(descriptor);
  if (target === undefined) {
    throw new SystemError(
      "use descriptor",
      String(descriptor),
      new Error("LISTEN_FDS names it, and it is not open"),
    );
  }
  return target;
}

function linkTarget(descriptor: number): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${descriptor}`);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new SystemError("read descriptor", String(descriptor), error);
  }
}

/** Listening sockets of /proc/net/tcp or tcp6, by the system's name for them. */
export function parseSocketTable(
  text: string,
): Map<string, { readonly host: string; readonly port: number }> {
  const found = new Map<string, { host: string; port: number }>();
  for (const line of text.split("\n")) {
    // sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode ...
    const [, local, , state, , , , , , inode] = splitBlanks(line);
    if (local === undefined || state !== LISTENING || inode === undefined) continue;
    const colon = local.indexOf(":");
    const bytes = addressBytes(local.slice(0, colon));
    const port = Number.parseInt(local.slice(colon + 1), 16);
    if (bytes !== undefined) found.set(`socket:[${inode}]`, { host: formatIpAddress(bytes), port });
  }
  return found;
}

/** An address as the system prints it: words of 32 bits, each in the byte order of the machine, which is little-endian. */
function addressBytes(hex: string): Uint8Array | undefined {
  if (hex.length !== 8 && hex.length !== 32) return undefined;
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const value = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
    if (Number.isNaN(value)) return undefined;
    bytes[(i - i % 4) + 3 - i % 4] = value;
  }
  return bytes;
}
