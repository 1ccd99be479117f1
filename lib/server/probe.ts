/**
 * Which ways out of its sandbox are tried for a daemon, and what must come of each: class DEN of the security cases,
 * with expectations worked out from the daemon's plan.
 *
 * @module
 */
// Safe primitives
import { dirname } from "../safe/path.ts";
import type { Attempt, AttemptResult } from "../safe/probe_attempts.ts";
// Wire protocols
import { isForbiddenAddress } from "../smtp/address_policy.ts";
// Utility
import { inNetwork, parseIpAddress, parseIpNetwork } from "../table/ip_network.ts";
// Server skeleton
import type { Grant, Plan } from "./sandbox.ts";

/**
 * refused: the runtime must not let it through. granted: a permission that the daemon needs is in force. policy: the
 * runtime's flags cannot name it, so that our own check of addresses must refuse it.
 */
export type Expectation = "refused" | "granted" | "policy";

/** One attempt and what must come of it. */
export interface ExpectedAttempt {
  readonly attempt: Attempt;
  readonly expect: Expectation;
}

/** One case of class DEN for one daemon. */
export interface Probe {
  readonly id: string;
  readonly title: string;
  readonly attempts: readonly ExpectedAttempt[];
}

/** What the probes need to know of the surroundings. */
export interface ProbeWorld {
  readonly runtime: string;
  readonly queueDirectory: string;
  readonly configDirectory: string;
  /** A directory of ours that no daemon may touch. */
  readonly scratch: string;
  /** A unix socket in it that exists. */
  readonly scratchSocket: string;
  /** A port of 127.0.0.1 on which somebody listens. */
  readonly loopbackPort: number;
  /** The plans of all services. */
  readonly plans: readonly Plan[];
}

/** Files that every system has, of which at least one is granted to nobody. */
const SYSTEM_FILES = ["/etc/passwd", "/etc/group", "/etc/hosts"];
const QUEUE_DIRECTORIES = [
  "active",
  "bounce",
  "corrupt",
  "defer",
  "deferred",
  "hold",
  "incoming",
  "maildrop",
  "trace",
];
/** Loopback in its many clothes. */
const LOOPBACK_NAMES = [
  "127.0.0.1",
  "127.1.2.3",
  "0.0.0.0",
  "0",
  "localhost",
  "::1",
  "::",
  "::ffff:127.0.0.1",
  "::ffff:0.0.0.0",
];
/** Hosts that the runtime imports from unless it is told otherwise. */
const CODE_HOSTS = [
  "https://esm.sh/x?leak=1",
  "https://jsr.io/@leak/x/1.0.0/mod.ts",
  "https://deno.land/x/leak/mod.ts",
];
/** An address of TEST-NET-1 (RFC 5737), to ask about and never to send to. */
const PUBLIC_ADDRESS = "192.0.2.77";
const UNSCOPED = ["read", "write", "net", "run", "sys", "env", "ffi", "import"] as const;
/** Flags that no daemon may have. */
const FORBIDDEN_FLAGS = ["-A", "--allow-all", "--allow-scripts", "--unsafely-ignore-certificate-errors"];

/** All probes of a plan; the last one gives up the network. */
export function probesOf(plan: Plan, world: ProbeWorld): Probe[] {
  return [
    probe(
      "GRANT",
      "has what it needs",
      plan.grants.map((grant) => ({ attempt: toQuery(grant), expect: "granted" })),
    ),
    probe("DEN-28", "nothing is unscoped", refused(unscopedAttempts(plan))),
    probe("DEN-01", "files outside: read, list, write", refused(fileAttempts(plan, world))),
    probe("DEN-02", "code from elsewhere: import", refused(importAttempts(world))),
    probe(
      "DEN-04",
      "code from elsewhere: Worker",
      refused([{ op: "worker", target: "https://esm.sh/w.js" }]),
    ),
    probe("DEN-05", "programs and signals", runAttempts(plan, world)),
    probe("DEN-07", "environment", refused([{ op: "environment" }])),
    probe("DEN-08", "loopback in any clothing", connectAttempts(plan, world)),
    probe("DEN-10", "listening", refused(listenAttempts(plan, world))),
    probe("DEN-11", "others' sockets: connect, remove", refused(socketAttempts(plan, world))),
    probe("DEN-13", "/proc, /dev, /sys", refused(systemAttempts(plan))),
    probe("DEN-14", "links into and out of the queue", refused(linkAttempts(plan, world))),
    probe("DEN-16", "code from text", refused([{ op: "eval" }, { op: "function" }, { op: "timer" }])),
    probe("DEN-17", "engine flags at run time", refused([{ op: "engineFlags" }])),
    probe("DEN-19", "after the network is given up", revokeAttempts(plan, world)),
  ];
}

/** True when the attempt came out as it must. */
export function isAsExpected({ attempt, expect }: ExpectedAttempt, { result }: AttemptResult): boolean {
  switch (expect) {
    case "refused":
      return result === "refused";
    case "granted":
      return result === "passed";
    case "policy":
      return result === "refused" || ("target" in attempt && isForbiddenAddress(attempt.target ?? ""));
  }
}

/** The flags in a command line that no daemon may have. */
export function forbiddenFlags(args: readonly string[]): string[] {
  return args.filter((arg) => {
    const [name = "", value] = arg.split("=");
    if (FORBIDDEN_FLAGS.includes(name) || name === "--allow-ffi" || name === "--allow-env") return true;
    return name.startsWith("--allow-") && (value === undefined || value === "");
  });
}

/** True when a read or write grant covers the path. */
export function covers(grants: readonly Grant[], kind: Grant["kind"], path: string): boolean {
  return grants.some((grant) =>
    grant.kind === kind &&
    (path === grant.object || path.startsWith(grant.object.endsWith("/") ? grant.object : `${grant.object}/`))
  );
}

function probe(id: string, title: string, attempts: readonly ExpectedAttempt[]): Probe {
  return { id, title, attempts };
}

function refused(attempts: readonly Attempt[]): ExpectedAttempt[] {
  return attempts.map((attempt) => ({ attempt, expect: "refused" }));
}

function toQuery({ kind, object }: Grant): Attempt {
  // A network cannot be asked about, one of its addresses can.
  const target = object.startsWith("0.0.0.0/0:")
    ? `${PUBLIC_ADDRESS}:${object.slice("0.0.0.0/0:".length)}`
    : object;
  return { op: "query", kind, target };
}

function unscopedAttempts(plan: Plan): Attempt[] {
  const sys = plan.grants.filter((grant) => grant.kind === "sys").map((grant) => grant.object);
  return [
    ...UNSCOPED.map((kind): Attempt => ({ op: "query", kind })),
    { op: "library", target: "libc.so.6" },
    { op: "identity" },
    ...(sys.includes("hostname") ? [] : [{ op: "hostName" } as const]),
  ];
}

function fileAttempts(plan: Plan, world: ProbeWorld): Attempt[] {
  const { grants } = plan;
  const system = SYSTEM_FILES.find((path) => !covers(grants, "read", path))!;
  const inside = grants.find((grant) => grant.kind === "read")?.object ?? world.scratch;
  const up = "../".repeat(inside.split("/").length);
  const queue = QUEUE_DIRECTORIES.map((name) => `${world.queueDirectory}/${name}`);
  const unreadable = [`${world.configDirectory}/main.toml`, `${world.configDirectory}/master.toml`, system];
  const unwritable = [world.scratch, world.configDirectory, world.queueDirectory, "/tmp", ...queue];
  return [
    ...unreadable.filter((path) => !covers(grants, "read", path)).map((target): Attempt => ({
      op: "read",
      target,
    })),
    { op: "read", target: `${inside}/${up}${system.slice(1)}` },
    ...queue.filter((path) => !covers(grants, "read", path)).map((target): Attempt => ({
      op: "list",
      target,
    })),
    ...unwritable.map((directory) => `${directory}/postern-probe`)
      .filter((path) => !covers(grants, "write", path))
      .map((target): Attempt => ({ op: "write", target })),
  ];
}

function importAttempts(world: ProbeWorld): Attempt[] {
  const local = `http://127.0.0.1:${world.loopbackPort}/x.js`;
  return [...CODE_HOSTS, "jsr:@leak/x", "npm:left-pad@1.3.0", local].map((target) => ({
    op: "import",
    target,
  }));
}

function runAttempts(plan: Plan, world: ProbeWorld): ExpectedAttempt[] {
  const allowed = plan.grants.filter((grant) => grant.kind === "run").map((grant) => grant.object);
  const programs = [world.runtime, "/bin/sh", "/usr/bin/env"].filter((one) => !allowed.includes(one));
  return refused([
    ...programs.map((target): Attempt => ({ op: "run", target })),
    ...(allowed.length > 0 ? [] : [{ op: "signal" } as const]),
  ]);
}

function connectAttempts(plan: Plan, world: ProbeWorld): ExpectedAttempt[] {
  const own = world.plans.flatMap(({ endpoint }) => endpoint.kind === "inet" ? [endpoint.port] : []);
  const ports = [...new Set([world.loopbackPort, 25, ...own])];
  const streams = LOOPBACK_NAMES.flatMap((target) =>
    ports.map((port): ExpectedAttempt => ({
      attempt: { op: "connect", target, port },
      expect: flagsPass(plan, target, port) ? "policy" : "refused",
    }))
  );
  return [...streams, ...refused([{ op: "datagram", target: "127.0.0.1", port: world.loopbackPort }])];
}

/** Whether the flags let a connection through; what they cannot name is left to the policy for addresses. */
function flagsPass(plan: Plan, host: string, port: number): boolean {
  const net = plan.grants.filter((grant) => grant.kind === "net").map((grant) => grant.object);
  const literal = host === "localhost" ? "127.0.0.1" : host === "0" ? "0.0.0.0" : host;
  if (net.includes(`${literal}:${port}`) || net.includes(`[${literal}]:${port}`)) return true;
  if (!net.includes(`0.0.0.0/0:${port}`)) return false;
  // PLATFORM: an IPv4 address in an IPv6 one is allowed as the first and not denied as the first.
  if (literal.startsWith("::ffff:")) return true;
  if (literal.includes(":")) return false;
  return !plan.denials.some((denial) => isInside(denial.object, literal));
}

function isInside(network: string, host: string): boolean {
  const parsed = parseIpNetwork(network);
  const address = parseIpAddress(host);
  return parsed.kind === "network" && address !== undefined && inNetwork(address, parsed.network);
}

function listenAttempts(plan: Plan, world: ProbeWorld): Attempt[] {
  const hosts = ["127.0.0.1", "0.0.0.0", "::1", "::"].filter((host) => !flagsPass(plan, host, 0));
  return [
    ...hosts.map((target): Attempt => ({ op: "listen", target, port: 0 })),
    { op: "listenUnix", target: `${world.scratch}/listen` },
    { op: "listenUnix", target: `${world.queueDirectory}/private/postern-probe` },
  ];
}

function socketAttempts(plan: Plan, world: ProbeWorld): Attempt[] {
  const others = world.plans.flatMap(({ endpoint }) => endpoint.kind === "unix" ? [endpoint.path] : [])
    .filter((path) => !plan.grants.some((grant) => grant.object === `unix:${path}`));
  return [
    ...[world.scratchSocket, ...others].map((target): Attempt => ({ op: "connectUnix", target })),
    { op: "unlink", target: world.scratchSocket },
  ];
}

function systemAttempts(plan: Plan): Attempt[] {
  const files = [
    "/proc/self/environ",
    "/proc/self/mem",
    "/proc/1/cmdline",
    "/proc/1/environ",
    "/dev/null",
    "/dev/zero",
  ];
  return [
    ...files.filter((path) => !covers(plan.grants, "read", path)).map((target): Attempt => ({
      op: "read",
      target,
    })),
    ...["/proc", "/proc/1/fd", "/dev", "/sys"].map((target): Attempt => ({ op: "list", target })),
  ];
}

function linkAttempts(plan: Plan, world: ProbeWorld): Attempt[] {
  const sockets = plan.grants.filter((grant) => grant.kind === "net").map((grant) =>
    grant.object.slice("unix:".length)
  );
  const writable = plan.grants.find((grant) => grant.kind === "write" && !sockets.includes(grant.object));
  const name = `${writable?.object ?? world.scratch}/postern-probe-link`;
  const outside = SYSTEM_FILES.find((path) => !covers(plan.grants, "read", path))!;
  return [
    { op: "symlink", target: outside, name },
    { op: "symlink", target: dirname(world.queueDirectory), name },
    { op: "link", target: outside, name },
  ];
}

function revokeAttempts(plan: Plan, world: ProbeWorld): ExpectedAttempt[] {
  const sockets = plan.grants.filter((grant) => grant.kind === "net" && grant.object.startsWith("unix:"))
    .map((grant): Attempt => ({ op: "connectUnix", target: grant.object.slice("unix:".length) }));
  const connects = [...plan.grants.filter((grant) => grant.kind === "net").map(toQuery), ...sockets];
  return [
    { attempt: { op: "revoke" }, expect: "granted" },
    ...refused([...connects, { op: "connect", target: "127.0.0.1", port: world.loopbackPort }]),
    ...refused([{ op: "listen", target: "127.0.0.1", port: 0 }]),
  ];
}
