/**
 * A daemon's sandbox as a document: for people and as JSON.
 *
 * @module
 */
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { formatPlace } from "../lib/config/problem.ts";
// Server skeleton
import { hasSeparateUsers, type Identity } from "../lib/server/identity.ts";
import type { Denial, Grant, Plan } from "../lib/server/sandbox.ts";

/** How a permission on the network names a unix socket. */
const UNIX = "unix:";

/** All that `sandbox` says of a service; with `--json` as it stands. */
export interface Description {
  readonly service: string;
  readonly command: string;
  readonly purpose: string;
  /** The line of master.toml. */
  readonly place: string;
  /** Where its clients reach it; it inherits the socket and needs no permission for it. */
  readonly listens: string;
  readonly user: string;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
  /** The runtime's flags that grant nothing. */
  readonly hardening: readonly string[];
  /** The whole command line behind the runtime's name. */
  readonly args: readonly string[];
  readonly startsHelpers: boolean;
}

/** Describes a plan. */
export function describePlan(
  plan: Plan,
  configuration: Configuration,
  identity: Identity | undefined,
): Description {
  const { entry, service } = plan;
  return {
    service: entry.name,
    command: service.command,
    purpose: service.purpose,
    place: formatPlace(entry.place),
    listens: listens(plan),
    user: user(plan, configuration),
    uid: identity?.uid ?? null,
    gid: identity?.gid ?? null,
    grants: plan.grants,
    denials: plan.denials,
    hardening: plan.args.filter((arg) => arg.startsWith("--") && !isPermission(arg)),
    args: plan.args,
    startsHelpers: service.startsHelpers === true,
  };
}

function isPermission(arg: string): boolean {
  return (arg.startsWith("--allow-") && !arg.startsWith("--allow-import=")) || arg.startsWith("--deny-");
}

function listens({ service, endpoint }: Plan): string {
  if (service.skeleton === "helper") return "the one connection that it inherits";
  return endpoint.kind === "unix"
    ? endpoint.path
    : endpoint.hosts.map((host) => `${host}:${endpoint.port}`).join(", ");
}

function user({ service }: Plan, configuration: Configuration): string {
  if (!hasSeparateUsers(configuration)) return "the user who starts master";
  const { mail_owner, net_owner } = configuration.settings;
  return service.runAs === "recipient"
    ? service.runsProgram ? "the user of its arguments" : "the recipient"
    : service.runAs === "postern"
    ? mail_owner
    : net_owner;
}

/** Groups of the text. A socket takes three grants, on the network and on its path, and is one line. */
const GROUPS:
  readonly (readonly [title: string, belongs: (grant: Grant, sockets: readonly string[]) => boolean])[] = [
    ["reads", ({ kind, object }, sockets) => kind === "read" && !sockets.includes(object)],
    ["writes", ({ kind, object }, sockets) => kind === "write" && !sockets.includes(object)],
    ["sockets", ({ kind, object }) => kind === "net" && object.startsWith(UNIX)],
    ["network", ({ kind, object }) => kind === "net" && !object.startsWith(UNIX)],
    ["programs", ({ kind }) => kind === "run"],
    ["system calls", ({ kind }) => kind === "sys"],
  ];

/** The description as text. */
export function formatDescription(one: Description): string {
  const uid = one.uid === null ? "" : ` (uid ${one.uid}, gid ${one.gid})`;
  const lines = [
    `${one.service}  (${one.command}: ${one.purpose})`,
    field("declared", one.place),
    field("listens", `${one.listens}, inherited`),
    field("runs as", `${one.user}${uid}`),
  ];
  const sockets = one.grants.filter(({ object }) => object.startsWith(UNIX)).map(({ object }) =>
    object.slice(UNIX.length)
  );
  for (const [title, belongs] of GROUPS) {
    const grants = one.grants.filter((grant) => belongs(grant, sockets));
    if (grants.length === 0) lines.push(field(title, "none"));
    for (const [i, grant] of grants.entries()) lines.push(field(i === 0 ? title : "", because(grant)));
  }
  for (const [i, denial] of one.denials.entries()) {
    lines.push(field(i === 0 ? "never to" : "", because(denial)));
  }
  if (one.startsHelpers) {
    lines.push(
      field("helpers", "asks master for processes that write and run for users: see mailbox, program"),
    );
  }
  for (const [i, flag] of one.hardening.entries()) lines.push(field(i === 0 ? "always" : "", flag));
  return lines.map((line) => `${line}\n`).join("");
}

function because({ object, because }: Grant | Denial): string {
  const shown = object.startsWith(UNIX) ? `${object.slice(UNIX.length)} (read, write, connect)` : object;
  return `${shown}  <- ${because}`;
}

function field(name: string, value: string): string {
  return `  ${name.padEnd(16)} ${value}`;
}
