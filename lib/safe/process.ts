/**
 * Starting processes, signals, users, and the inherited descriptors that carry listeners. Only master and the
 * commands use it; it needs `-A`.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { describe, isMissing, SystemError } from "./error.ts";
import { readTextFile } from "./file.ts";
import { coverInherited, findInherited, inheritedListeners, listeningTcpSockets } from "./inherited.ts";
import { linesOf } from "./stdio.ts";
import { encodeText } from "../vstring/byte_builder.ts";

/** How a process is started. */
export interface SpawnOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** The whole environment: nothing of ours is passed on. */
  readonly environment: Readonly<Record<string, string>>;
  /** Descriptors of ours that become 3, 4, ... in the child. */
  readonly descriptors: readonly number[];
  /** Standard error: our own, or a descriptor. */
  readonly errors: "inherit" | number;
  /** Both or neither: a uid alone would leave our own group. */
  readonly identity?: { readonly uid: number; readonly gid: number };
  /** File mode bits that files of the process do not get; default: our own. */
  readonly umask?: number;
  /** In a session of its own, so that Ctrl-C on the terminal reaches us alone. */
  readonly ownSession?: true;
}

/** A running child. */
export interface Child {
  readonly pid: number;
  /** Lines of its standard output. */
  readonly lines: AsyncIterable<string>;
  /** Writes to its standard input; nothing when it is gone. */
  write(text: string): void;
  /** Closes its standard input. */
  closeInput(): void;
  kill(signal: "SIGTERM" | "SIGKILL" | "SIGHUP"): void;
  /** Resolves when it has ended: exit status, or the signal that ended it. */
  readonly ended: Promise<{ readonly status: number; readonly signal: string }>;
}

/** Starts a process. Throws a `SystemError` when it cannot be started. */
export function startProcess(options: SpawnOptions): Promise<Child> {
  const umask = options.umask === undefined ? undefined : process.umask(options.umask);
  const child = spawn(options.program, [...options.args], {
    stdio: [
      "pipe",
      "pipe",
      options.errors,
      ...options.descriptors,
      ...coverInherited(options.descriptors.length),
    ],
    env: { ...options.environment },
    cwd: "/",
    detached: options.ownSession === true,
    ...(options.identity === undefined ? {} : options.identity),
  });
  // The child has it by now.
  if (umask !== undefined) process.umask(umask);
  return new Promise((resolve, reject) => {
    child.once("error", (error: unknown) => reject(new SystemError("start", options.program, error)));
    child.once("spawn", () => resolve(toChild(child)));
  });
}

function toChild(child: ChildProcess): Child {
  child.stdin!.on("error", () => {}); // a child that ended no longer reads
  return {
    pid: child.pid!,
    lines: linesOf(child.stdout!),
    write: (text) => void child.stdin!.write(encodeText(text)),
    closeInput: () => void child.stdin!.end(),
    // Not the child's own kill: that closes its standard input as well, and reports the signal as the cause of its end.
    kill: (signal) => {
      if (child.exitCode === null && child.signalCode === null) signalProcess(child.pid!, signal);
    },
    ended: new Promise((resolve) => {
      child.once("exit", (status: number | null, signal: string | null) => {
        resolve({ status: status ?? -1, signal: signal ?? "" });
      });
    }),
  };
}

/** A listening socket, and the number of its descriptor. */
export interface BoundListener {
  readonly descriptor: number;
  /** Waits for one client and drops its connection: the sign that somebody wants the service. */
  noticeClient(): Promise<void>;
  close(): void;
}

/** Binds a TCP address, or takes the socket that whoever started us has bound to it. */
export function bindTcp(host: string, port: number): BoundListener {
  const inherited = findInherited(inheritedListeners(), host, port);
  if (inherited !== undefined) {
    const never = new Error("an inherited socket is for processes that run from the start");
    return {
      descriptor: inherited.descriptor,
      noticeClient: () => Promise.reject(new SystemError("wait for client on", `${host}:${port}`, never)),
      close: () => {}, // it is whose who bound it, and there again when the configuration comes back to it
    };
  }
  const listens = () => {
    const listening = listeningTcpSockets();
    return (socket: string) => listening.has(socket);
  };
  return bind(`${host}:${port}`, () => Deno.listen({ hostname: host, port }), listens);
}

/** Binds a unix socket with exactly this mode; a socket that an earlier process left there is removed. */
export function bindUnix(path: string, mode: number): BoundListener {
  try {
    const old = Deno.lstatSync(path);
    if (!old.isSocket) {
      throw new SystemError("bind", path, new Error("name is taken by something that is no socket"));
    }
    Deno.removeSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const hasPath = () => {
    const sockets = boundSockets();
    return (socket: string) => sockets.get(socket) === path;
  };
  const bound = bind(path, () => Deno.listen({ transport: "unix", path }), hasPath);
  Deno.chmodSync(path, mode);
  return bound;
}

/** @param recognize asked after `listen`: tells a socket that can be the new one from others that come meanwhile */
function bind(
  name: string,
  listen: () => Deno.Listener<Deno.Conn>,
  recognize: () => (socket: string) => boolean,
): BoundListener {
  const before = openSockets();
  let listener: Deno.Listener<Deno.Conn>;
  try {
    listener = listen();
  } catch (error) {
    throw new SystemError("listen on", name, error);
  }
  const descriptor = newDescriptor(before, name, recognize());
  return {
    descriptor,
    noticeClient: async () => {
      const client = await listener.accept();
      client.close();
    },
    close: () => listener.close(),
  };
}

/** A connection of ours that a child gets as a descriptor. */
export interface HandedConnection {
  readonly descriptor: number;
  /**
   * Closes our copy, which ends the connection for the child too, as the runtime shuts the socket down that both
   * share: to be called when the child has ended.
   */
  close(): void;
}

/** Connects to a unix socket and writes `first`, for a child that will use the connection. */
export async function openHandedConnection(path: string, first: string): Promise<HandedConnection> {
  const before = openSockets();
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path });
  } catch (error) {
    throw new SystemError("connect to", path, error);
  }
  try {
    const bound = boundSockets();
    const descriptor = newDescriptor(before, path, (socket) => !bound.has(socket));
    await connection.write(encodeText(first));
    return { descriptor, close: () => connection.close() };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Largest list of the system's unix sockets that is read, bytes. */
const UNIX_SOCKETS_LIMIT = 64 * 1024 * 1024;

/** The unix sockets that have a path, and the path: listeners, and what was accepted from them. */
function boundSockets(): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of readTextFile("/proc/self/net/unix", UNIX_SOCKETS_LIMIT).split("\n")) {
    const [, , , , , , inode, ...path] = line.split(" ").filter((word) => word !== "");
    if (path.length > 0) found.set(`socket:[${inode}]`, path.join(" "));
  }
  return found;
}

/** Our open sockets: descriptor and the system's name for it. */
function openSockets(): Map<number, string> {
  const found = new Map<number, string>();
  for (const entry of Deno.readDirSync("/proc/self/fd")) {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${entry.name}`);
      if (target.startsWith("socket:")) found.set(Number(entry.name), target);
    } catch (error) {
      if (!isMissing(error)) throw error; // closed meanwhile
    }
  }
  return found;
}

/**
 * The one socket that was not there before: Deno does not tell the number of a listener's descriptor.
 *
 * @param fits whether a socket can be it: while we wait, a client may arrive somewhere else
 */
function newDescriptor(
  before: ReadonlyMap<number, string>,
  name: string,
  fits: (socket: string) => boolean,
): number {
  const fresh = [...openSockets()].filter(([descriptor, target]) =>
    before.get(descriptor) !== target && fits(target)
  );
  if (fresh.length !== 1) {
    throw new SystemError("find descriptor of", name, new Error(`${fresh.length} sockets are new`));
  }
  return fresh[0]![0];
}

/** Opens a log file for appending and gives its descriptor's number, for children's standard error. */
export function openLogDescriptor(path: string, mode: number): number {
  const before = openFiles();
  try {
    Deno.openSync(path, { append: true, create: true, mode });
  } catch (error) {
    throw new SystemError("open log file", path, error);
  }
  for (const [descriptor, target] of openFiles()) {
    if (before.get(descriptor) !== target && target === Deno.realPathSync(path)) return descriptor;
  }
  throw new SystemError("find descriptor of", path, new Error("it is not open"));
}

function openFiles(): Map<number, string> {
  const found = new Map<number, string>();
  for (const entry of Deno.readDirSync("/proc/self/fd")) {
    try {
      found.set(Number(entry.name), Deno.readLinkSync(`/proc/self/fd/${entry.name}`));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return found;
}

/** An entry of the password file. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** Largest password file that is read, bytes. */
const PASSWD_LIMIT = 16 * 1024 * 1024;

/** Looks a login name up in /etc/passwd. */
export function findUser(name: string): User | undefined {
  return findEntry((user) => user.name === name);
}

/** The first user in /etc/passwd that has this number. */
export function findUserById(uid: number): User | undefined {
  return findEntry((user) => user.uid === uid);
}

function findEntry(fits: (user: User) => boolean): User | undefined {
  for (const line of readTextFile("/etc/passwd", PASSWD_LIMIT).split("\n")) {
    const [name = "", , uid, gid, , home, shell = ""] = line.split(":");
    if (uid === undefined || gid === undefined || home === undefined) continue;
    const user = { name, uid: Number(uid), gid: Number(gid), home, shell };
    if (fits(user)) return user;
  }
  return undefined;
}

/** The number of a group in /etc/group. */
export function findGroup(name: string): number | undefined {
  for (const line of readTextFile("/etc/group", PASSWD_LIMIT).split("\n")) {
    const [group, , gid] = line.split(":");
    if (group === name && gid !== undefined && gid !== "") return Number(gid);
  }
  return undefined;
}

/** Sends SIGKILL to a process group as the user that is given: the system refuses what that user may not kill. */
export async function killGroup(
  leader: number,
  identity: { readonly uid: number; readonly gid: number } | undefined,
): Promise<void> {
  const child = spawn("/bin/sh", ["-c", `kill -s KILL -- -${leader}`], {
    stdio: "ignore",
    env: {},
    cwd: "/",
    ...(identity === undefined ? {} : identity),
  });
  await new Promise<void>((resolve, reject) => {
    child.once("error", (error: unknown) => reject(new SystemError("kill group", String(leader), error)));
    child.once("exit", () => resolve());
  });
}

/** The process group of this process. */
export function ownGroup(): number {
  const stat = readTextFile("/proc/self/stat", 4096);
  // Behind the name, which is in parentheses and may hold any: state, parent, group.
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
}

/** Our own user id. */
export function ownUid(): number {
  return Deno.uid() ?? 0;
}

/** Our own group id. */
export function ownGid(): number {
  return Deno.gid() ?? 0;
}

/** True when the program's file gave us a user or group that whoever started us does not have. */
export function hasRaisedIdentity(): boolean {
  return process.getuid?.() !== process.geteuid?.() || process.getgid?.() !== process.getegid?.();
}

/** This machine's name. */
export function systemHostName(): string {
  return Deno.hostname();
}

/** Addresses of this machine's interfaces. */
export function systemAddresses(): string[] {
  return Deno.networkInterfaces().map((one) => one.address);
}

/** Bytes of memory that the machine has. */
export function systemMemory(): number {
  return Deno.systemMemoryInfo().total;
}

/** The runtime that runs us, absolute path. */
export function runtimePath(): string {
  return Deno.execPath();
}

/** True for a program that `deno compile` made: it is its own runtime, and can run nothing but itself. */
export function isStandalone(): boolean {
  return Deno.build.standalone;
}

/** A variable of our own environment. */
export function environmentVariable(name: string): string | undefined {
  return Deno.env.get(name);
}

/** All of our own environment: for tools that a person runs, never for a daemon. */
export function ownEnvironment(): Record<string, string> {
  return Deno.env.toObject();
}

/** Sends a signal; false when there is no such process. */
export function signalProcess(pid: number, signal: "SIGHUP" | "SIGTERM" | "SIGKILL"): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || (error as { code?: string }).code === "ESRCH") return false;
    throw new SystemError(`send ${signal} to`, String(pid), error);
  }
}

/** True while the process runs. One that has ended and that its parent has not asked after yet does not. */
export function processExists(pid: number): boolean {
  try {
    const stat = readTextFile(`/proc/${pid}/stat`, 4096);
    // The state stands behind the name, which is in parentheses and may hold any.
    const state = stat.charAt(stat.lastIndexOf(")") + 2);
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

/** The command line of a process, or an empty list when it is gone. */
export function processArguments(pid: number): string[] {
  try {
    return readTextFile(`/proc/${pid}/cmdline`, 1024 * 1024).split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** Runs a program to its end and gives its exit status and output. */
export async function runProgram(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly output: Uint8Array; readonly errors: Uint8Array }> {
  try {
    const done = await new Deno.Command(program, {
      args: [...args],
      env: { ...environment },
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    return { status: done.code, output: done.stdout, errors: done.stderr };
  } catch (error) {
    throw new SystemError("run", program, describe(error));
  }
}

/** Starts a process that outlives us, its output going to a file; gives its number. */
export function startDetached(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  logFile: string,
): number {
  const log = openLogDescriptor(logFile, 0o600);
  const stdio: ["ignore", number, number] = ["ignore", log, log];
  const child = spawn(program, [...args], { stdio, detached: true, cwd: "/", env: { ...environment } });
  child.unref();
  return child.pid!;
}

/** The directory that relative paths of the command line start from. */
export function currentDirectory(): string {
  return Deno.cwd();
}
