/**
 * The sockets that master binds or was handed, and who may connect to them.
 */
// Safe primitives
import { setFileMode, setFileOwner } from "../../lib/safe/file.ts";
import { type InheritedListener, inheritedListeners } from "../../lib/safe/inherited.ts";
import { bindTcp, bindUnix, type BoundListener } from "../../lib/safe/process.ts";
// Server skeleton
import type { Identity } from "../../lib/server/identity.ts";
import type { Endpoint } from "../../lib/server/sandbox.ts";

/** Permission bits that let the group of a unix socket connect to it. */
const GROUP_CONNECTS = 0o060;

/** The users of the daemons, where they have users of their own. */
export interface SocketOwners {
  readonly mail: Identity;
  readonly net: Identity;
}

/** What has listeners, as a service has. */
interface Listening {
  readonly name: string;
  readonly listeners: readonly BoundListener[];
}

/** Binds all of an endpoint or throws. */
export function bindEndpoint(endpoint: Endpoint, owners: SocketOwners | undefined): BoundListener[] {
  if (endpoint.kind === "unix") return [bindUnixEndpoint(endpoint, owners)];
  const bound: BoundListener[] = [];
  try {
    for (const host of endpoint.hosts) bound.push(bindTcp(host, endpoint.port));
  } catch (error) {
    for (const listener of bound) listener.close();
    throw error;
  }
  // A child gets them in this order from descriptor 3 on. Inherited sockets have the lowest numbers: in any other
  // order the runtime would put one socket where another is that it has yet to pass on.
  return bound.sort((a, b) => a.descriptor - b.descriptor);
}

/** A private socket is for the queue's owner, and for the network's user when a daemon of that user connects. */
function bindUnixEndpoint(
  { path, mode, forNet }: Extract<Endpoint, { kind: "unix" }>,
  owners: SocketOwners | undefined,
): BoundListener {
  const listener = bindUnix(path, mode);
  if (owners === undefined) return listener;
  setFileOwner(path, owners.mail.uid, forNet ? owners.net.gid : owners.mail.gid);
  if (forNet) setFileMode(path, mode | GROUP_CONNECTS);
  return listener;
}

/** Binds the socket on which mailbox helpers arrive: master alone connects to it. */
export function bindHelperSocket(path: string, owners: SocketOwners | undefined): BoundListener {
  return bindUnixEndpoint({ kind: "unix", path, mode: 0o600, forNet: false }, owners);
}

/** Throws when two services would have the same inherited socket, as binding it twice would. */
export function refuseShared(services: readonly Listening[]): void {
  const owners = new Map<number, string>();
  for (const { name, listeners } of services) {
    for (const { descriptor } of listeners) {
      const other = owners.get(descriptor);
      if (other !== undefined) {
        throw new Error(`Cannot start service "${name}": service "${other}" has its address`);
      }
      owners.set(descriptor, name);
    }
  }
}

/** Sockets that were handed to us and that no service has: their clients would wait for ever. */
export function unusedInherited(services: readonly Listening[]): InheritedListener[] {
  const used = new Set(services.flatMap(({ listeners }) => listeners).map((one) => one.descriptor));
  return inheritedListeners().filter(({ descriptor }) => !used.has(descriptor));
}
