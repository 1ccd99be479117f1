/**
 * The two systems that are measured, set up alike: relaying for loopback, everything to the discard transport, the
 * log in a file, otherwise each one's defaults.
 *
 * @module
 */
import { Postern } from "../tests/support/postern.ts";
import { Postfix, withChildren } from "../tests/support/postfix.ts";
import type { System } from "./measure.ts";

/** A system, and its end. */
export interface Running extends System, AsyncDisposable {}

/** True where Debian's Postfix can be measured: it is there, and we are root. */
export function hasPostfix(): boolean {
  return Postfix.available();
}

/** Starts Postern with its files below a directory. */
export async function startPostern(below: string): Promise<Running> {
  const postern = await Postern.start({
    below,
    settings: {
      myhostname: '"postern.test"',
      default_transport: '"discard:"',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
    },
  });
  return {
    name: "Postern",
    port: postern.port,
    pids: () => withChildren(postern.master),
    queues: ["incoming", "active", "deferred"].map((name) => `${postern.paths.queue}/${name}`),
    delivered: () => countDelivered(postern.log()),
    [Symbol.asyncDispose]: () => postern[Symbol.asyncDispose](),
  };
}

/** Starts a Debian Postfix of our own with its files below a directory. */
export async function startPostfix(below: string): Promise<Running> {
  const settings = { default_transport: "discard:", smtpd_peername_lookup: "no" };
  const postfix = await Postfix.start({ below, settings });
  return {
    name: "Postfix",
    port: postfix.port,
    pids: () => withChildren(postfix.master!),
    queues: ["incoming", "active", "deferred"].map((name) => `${postfix.queue}/${name}`),
    delivered: () => countDelivered(postfix.log()),
    [Symbol.asyncDispose]: () => postfix[Symbol.asyncDispose](),
  };
}

function countDelivered(log: string): number {
  return log.split(" status=sent ").length - 1;
}
