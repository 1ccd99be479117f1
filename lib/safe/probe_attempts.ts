/**
 * What a process tries against its own sandbox: each attempt is one of the ways out that class DEN of the security
 * cases names. `postern sandbox --verify` runs them in a process with a daemon's exact permissions. What succeeds
 * against expectation is undone at once.
 *
 * Permissions needed: none; to be refused is the purpose.
 *
 * @module
 */
import dgram from "node:dgram";
import process from "node:process";
import v8 from "node:v8";
import { describe, errorCode } from "./error.ts";

/** One thing to try, as data: it travels to the probing process as JSON. */
export type Attempt =
  | { readonly op: "read" | "list" | "write" | "unlink" | "run" | "library"; readonly target: string }
  | { readonly op: "symlink" | "link"; readonly target: string; readonly name: string }
  | { readonly op: "import" | "worker"; readonly target: string }
  | { readonly op: "connect" | "listen" | "datagram"; readonly target: string; readonly port: number }
  | { readonly op: "connectUnix" | "listenUnix"; readonly target: string }
  | { readonly op: "environment" | "signal" | "identity" | "hostName" }
  | { readonly op: "eval" | "function" | "timer" | "engineFlags" }
  /** Gives up the permission to use the network: from here on nothing that needs it works. */
  | { readonly op: "revoke" }
  /** Whether a permission is in force; without a target, whether all of its kind is. */
  | { readonly op: "query"; readonly kind: PermissionKind; readonly target?: string };

/** The kinds of permission that the runtime knows. */
export type PermissionKind = "read" | "write" | "net" | "run" | "sys" | "env" | "ffi" | "import";

/**
 * refused: by the runtime, before anything happened. passed: the runtime let it through, whether the system then
 * carried it out or not; `why` tells.
 */
export interface AttemptResult {
  readonly result: "refused" | "passed";
  readonly why: string;
}

type Run<O extends Attempt["op"]> = (attempt: Extract<Attempt, { op: O }>) => unknown;

/** Longest wait for an attempt, milliseconds. */
const ATTEMPT_TIMEOUT = 5000;

const ATTEMPTS: { readonly [O in Attempt["op"]]: Run<O> } = {
  read: ({ target }) => Deno.openSync(target, { read: true }).close(),
  list: ({ target }) => Deno.readDirSync(target)[Symbol.iterator]().next(),
  write: ({ target }) => {
    Deno.openSync(target, { write: true, createNew: true }).close();
    Deno.removeSync(target);
  },
  unlink: ({ target }) => Deno.removeSync(target),
  run: ({ target }) =>
    new Deno.Command(target, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync(),
  library: ({ target }) => Deno.dlopen(target, {}).close(),
  symlink: ({ target, name }) => {
    Deno.symlinkSync(target, name);
    Deno.removeSync(name);
  },
  link: ({ target, name }) => {
    Deno.linkSync(target, name);
    Deno.removeSync(name);
  },
  import: ({ target }) => import(target),
  worker: ({ target }) => startWorker(target),
  connect: async ({ target, port }) => (await Deno.connect({ hostname: target, port })).close(),
  listen: ({ target, port }) => Deno.listen({ hostname: target, port }).close(),
  datagram: ({ target, port }) => sendDatagram(target, port),
  connectUnix: async ({ target }) => (await Deno.connect({ transport: "unix", path: target })).close(),
  listenUnix: ({ target }) => {
    Deno.listen({ transport: "unix", path: target }).close();
    Deno.removeSync(target);
  },
  environment: () => {
    // Where it is hidden instead of refused nothing comes out of it; every daemon has some variables.
    if (Object.keys(Deno.env.toObject()).length === 0) {
      throw new Deno.errors.NotCapable("environment is hidden");
    }
  },
  signal: () => Deno.kill(Deno.ppid, "SIGCONT"),
  identity: () => process.setgid?.(Deno.gid() ?? 0),
  hostName: () => Deno.hostname(),
  eval: () => (0, eval)("1 + 1"),
  function: () => new Function("return 1")(),
  timer: () => setTimeout("1 + 1" as unknown as () => void, 0),
  engineFlags: () => {
    v8.setFlagsFromString("--no-disallow-code-generation-from-strings");
    return (0, eval)("1 + 1");
  },
  revoke: () => {
    const after = Deno.permissions.revokeSync({ name: "net" }).state;
    if (after === "granted") throw new Error("the permission stays");
  },
  query: ({ kind, target }) => {
    const { state } = Deno.permissions.querySync(toDescriptor(kind, target));
    if (state !== "granted") throw new Deno.errors.NotCapable(`permission is not granted`);
  },
};

/** Tries one thing and says what came of it. */
export async function tryAttempt(attempt: Attempt): Promise<AttemptResult> {
  const run = ATTEMPTS[attempt.op] as (attempt: Attempt) => unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("nothing happened in time")), ATTEMPT_TIMEOUT);
  });
  try {
    await Promise.race([(async () => await run(attempt))(), late]);
    return { result: "passed", why: "it worked" };
  } catch (error) {
    return { result: isRefusal(error) ? "refused" : "passed", why: describe(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Names in the runtime's texts for a module that it does not even look for. */
const IMPORT_REFUSALS = [
  "Requires import access",
  "--no-remote",
  "--no-npm",
  "--cached-only",
  "not a dependency",
];

function isRefusal(error: unknown): boolean {
  if (error instanceof Deno.errors.NotCapable || error instanceof EvalError) return true;
  if (!(error instanceof Error)) return false;
  // A text in place of a function: the runtime takes none, whatever the engine's flags.
  if (error instanceof TypeError && error.message.includes("must be of type function")) return true;
  return IMPORT_REFUSALS.some((text) => error.message.includes(text));
}

function startWorker(url: string): Promise<void> {
  const worker = new Worker(url, { type: "module" });
  return new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  }).finally(() => worker.terminate());
}

function sendDatagram(host: string, port: number): Promise<void> {
  const socket = dgram.createSocket("udp4");
  return new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    // The runtime reports a refused bind outside of any call of ours.
    globalThis.addEventListener("error", (event) => reject(event.error), { once: true });
    socket.send(new Uint8Array(1), port, host, (error: Error | null) => {
      if (error === null) resolve();
      // A refused destination has no code of its own here; whatever the system itself says has one.
      else reject(errorCode(error) === "UNKNOWN" ? new Deno.errors.NotCapable(error.message) : error);
    });
  }).finally(() => socket.close());
}

function toDescriptor(kind: PermissionKind, target: string | undefined): Deno.PermissionDescriptor {
  if (target === undefined) return { name: kind };
  switch (kind) {
    case "read":
    case "write":
      return { name: kind, path: target };
    case "net":
    case "import":
      return { name: kind, host: target } as Deno.NetPermissionDescriptor;
    case "run":
      return { name: kind, command: target };
    case "sys":
      return { name: kind, kind: target } as Deno.SysPermissionDescriptor;
    case "env":
      return { name: kind, variable: target };
    case "ffi":
      return { name: kind, path: target };
  }
}
