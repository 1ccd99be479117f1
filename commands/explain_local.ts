/**
 * What the local agent would do with a recipient: aliases, .forward files and lists as a tree, and what stands at its ends.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import type { ParameterName, Settings } from "../lib/config/parameters.ts";
import { formatPlace } from "../lib/config/problem.ts";
import { asciiLower } from "../lib/vstring/ascii.ts";
// Tables
import { TABLE_SERVERS } from "../lib/table/table_servers.ts";
// Mail
import { splitAddress } from "../lib/mail/address.ts";
import { withClass } from "../lib/mail/status_code.ts";
// Internal protocols
import type { RewriteClient } from "../lib/proto/rewrite_client.ts";
// Server skeleton
import type { HelperRequest } from "../lib/server/boot.ts";
import type { Decisions } from "../lib/server/decisions.ts";
import { LocalExpansion } from "../lib/server/local_expansion.ts";
import { forwardPaths, localRecipient } from "../lib/server/local_names.ts";
import { type LocalSources, openLocalTables, type Resolved } from "../lib/server/local_sources.ts";
import type { Action, ExpansionEvent } from "../lib/server/local_state.ts";
import { parseUser } from "../lib/server/local_user.ts";
import { findTargetFile } from "../lib/server/target_files.ts";
// This program
import type { Delivery, LocalStep } from "./explain_facts.ts";

/** What the local end is found with. */
export interface LocalTools {
  readonly configuration: Configuration;
  readonly decisions: Decisions;
  /** What another transport does with an address. */
  deliver(transport: string, nexthop: string, address: string): Promise<Delivery>;
}

/** What becomes of a recipient in a service that runs local. */
export async function deliveryToLocal(
  tools: LocalTools,
  entry: ServiceEntry,
  settings: Settings<ParameterName>,
  sender: string,
  recipient: string,
): Promise<Delivery> {
  const found = new Map<string, string>();
  const sources = makeSources(tools, settings, found);
  const events: ExpansionEvent[] = [];
  const expansion = new LocalExpansion(settings, sources, entry.name, false, (event) => events.push(event));
  await expansion.run(recipient, sender);
  const steps: LocalStep[] = [];
  for (const event of events) steps.push(await toStep(tools, settings, event, found));
  return { kind: "local", place: formatPlace(entry.place), steps };
}

/** What local asks, without the processes that it has for it. */
function makeSources(
  { decisions }: LocalTools,
  settings: Settings<ParameterName>,
  found: Map<string, string>,
): LocalSources {
  const how = { soft: true, servers: TABLE_SERVERS };
  const lookups = openLocalTables(settings, how, () => decisions.mapsOf("local"), (name, { hit }) => {
    found.set(name, hit?.table.placeOf?.(hit.key) ?? "");
  });
  return {
    ...lookups,
    ...resolverOf(decisions.rewrite),
    read: async (request) => {
      const target = await targetOf(request, settings, lookups);
      const file = findTargetFile(target);
      // Where no file can be read by who explains, what is in it is not known.
      return file.kind === "retry" ? { kind: "retry", why: file.why } : file;
    },
    wasDeliveredTo: () => false,
    warn: () => {},
  };
}

function resolverOf(rewrite: RewriteClient): Pick<LocalSources, "resolve" | "rewrite"> {
  return {
    rewrite: async (address) => {
      const outcome = await rewrite.rewriteInternal("local", address);
      return outcome.kind === "rewritten" ? outcome.address : undefined;
    },
    resolve: async (sender, address): Promise<Resolved> => {
      const complete = await rewrite.rewriteInternal("local", address);
      if (complete.kind === "retry") return complete;
      const resolved = await rewrite.resolve(sender, complete.address);
      if (resolved.kind === "retry") return resolved;
      if (resolved.bad) return { kind: "bad" };
      return { kind: "resolved", transport: resolved.transport, recipient: resolved.recipient };
    },
  };
}

/** The files that a request is about. */
async function targetOf(
  request: HelperRequest,
  settings: Settings<ParameterName>,
  { passwd }: Pick<LocalSources, "passwd">,
): Promise<Parameters<typeof findTargetFile>[0]> {
  const none = { files: [], owner: 0, home: "" };
  if (request.kind === "include") return { files: [request.path], owner: -1, home: "" };
  if (request.kind !== "mailbox" && request.kind !== "forward") return none;
  const address = request.kind === "forward" ? request.recipient : request.user;
  const recipient = localRecipient(address, asciiLower(splitAddress(address).localpart), settings);
  const line = await passwd(recipient.user);
  const user = line.kind === "found" ? parseUser(line.value) : undefined;
  const paths = user === undefined ? [] : forwardPaths(settings, user, recipient);
  if (user === undefined || !Array.isArray(paths)) return none;
  const home = settings.require_home_directory ? user.home : "";
  return { files: paths.map(({ path }) => path), owner: user.uid, home };
}

async function toStep(
  tools: LocalTools,
  settings: Settings<ParameterName>,
  event: ExpansionEvent,
  found: ReadonlyMap<string, string>,
): Promise<LocalStep> {
  const { level: depth, address } = event;
  switch (event.kind) {
    case "alias": {
      const place = found.get(event.name) || tools.configuration.origin("alias_maps");
      return { depth, address, kind: "alias", name: event.name, value: event.value, place };
    }
    case "forward":
    case "include":
      return { depth, address, kind: event.kind, place: event.path };
    case "action":
      return { depth, ...await toEnd(tools, settings, event.action) };
    default:
      return event satisfies never;
  }
}

type LocalEnd = Exclude<LocalStep, { kind: "alias" | "forward" | "include" }>;
type WithoutDepth<T> = T extends unknown ? Omit<T, "depth"> : never;

async function toEnd(
  tools: LocalTools,
  settings: Settings<ParameterName>,
  action: Action,
): Promise<WithoutDepth<LocalEnd>> {
  const { address } = action;
  switch (action.kind) {
    case "mailbox": {
      const { path, format, user, uid, gid } = action.task;
      return { address, kind: "mailbox", path, format, user, uid, gid };
    }
    case "file":
      return { address, kind: "file", path: action.path };
    case "command":
      return { address, kind: "command", command: action.command };
    case "forward":
      return { address, kind: "forwarded", sender: action.sender };
    case "pass": {
      const colon = action.transport.indexOf(":");
      const transport = colon < 0 ? action.transport : action.transport.slice(0, colon);
      const nexthop = colon < 0 ? "" : action.transport.slice(colon + 1);
      const to = nexthop || (splitAddress(address).domain ?? "");
      return { address, kind: "passed", transport, delivery: await tools.deliver(transport, to, address) };
    }
    case "settled": {
      const { result, status, reason } = action.outcome;
      const soft = result === "deferred" || (result === "bounced" && settings.soft_bounce);
      const text = `${soft ? withClass(status, "4") : status} ${reason}`;
      return { address, kind: result === "sent" ? "discarded" : soft ? "deferred" : "bounced", text };
    }
    default:
      return action satisfies never;
  }
}
