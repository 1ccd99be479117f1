/**
 * Waking a service of the running mail system. A trigger is a hint: whoever sends one goes on without it.
 *
 * @module
 */
// Safe primitives
import { connectUnixChannel } from "../lib/safe/channel.ts";
// Utility
import { IpcClient } from "../lib/ipc/client.ts";
import type { Protocol, RequestValues } from "../lib/ipc/protocol.ts";

/** Pause between looks at whether the service has greeted, milliseconds. */
const LOOK_PAUSE = 2;

/** Whether the word reached the service. */
export type Triggered = { readonly kind: "sent" } | { readonly kind: "failed"; readonly why: string };

/**
 * Connects to a service, sends it one message that has no reply, and closes.
 *
 * @param path absolute path of the service's socket
 * @param timeout seconds that it may take (trigger_timeout)
 */
export async function sendTrigger<P extends Protocol, K extends keyof P["requests"] & string>(
  protocol: P,
  path: string,
  type: K,
  fields: RequestValues<P, K>,
  timeout: number,
): Promise<Triggered> {
  // Nobody listens: the mail system is down, and waiting would not start it.
  const probe = await connectUnixChannel(path);
  if (probe.kind === "failed") return probe;
  probe.channel.destroy();
  // The client tries again while master starts the service, which it does when it sees a connection.
  const client = new IpcClient(protocol, path, { timeout });
  client.send(type, fields);
  const deadline = Date.now() + timeout * 1000;
  while (!client.connected && Date.now() <= deadline) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE));
  }
  const sent = client.connected;
  client.close();
  return sent ? { kind: "sent" } : { kind: "failed", why: "no greeting in time" };
}
