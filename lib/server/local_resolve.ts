/**
 * trivial-rewrite as the expansion of aliases uses it.
 *
 * @module
 */
// Wire protocols
import { type IpcClient } from "../ipc/client.ts";
import { type REWRITE } from "../proto/protocols.ts";
import { type LocalSources, type Resolved } from "./local_sources.ts";

/** The look-ups of addresses. Trouble with the service may pass and is no verdict on the address. */
export function makeResolver(client: IpcClient<typeof REWRITE>): Pick<LocalSources, "resolve" | "rewrite"> {
  /** The address in canonical form, as local mail writes it. */
  async function rewrite(address: string): Promise<string | undefined> {
    try {
      const reply = await client.call("rewrite", { context: "local", address });
      return reply.is === "rewritten" ? reply.address : undefined;
    } catch {
      return undefined;
    }
  }

  async function resolve(sender: string, address: string): Promise<Resolved> {
    const canonical = await rewrite(address);
    if (canonical === undefined) return { kind: "retry", why: "address rewriting service is not available" };
    try {
      const reply = await client.call("resolve", { sender, address: canonical });
      if (reply.is === "retry") return { kind: "retry", why: reply.reason };
      if (reply.is !== "resolved") {
        return { kind: "retry", why: "unexpected answer from address rewriting service" };
      }
      if (reply.bad) return { kind: "bad" };
      return { kind: "resolved", transport: reply.transport, recipient: reply.recipient };
    } catch (error) {
      return { kind: "retry", why: error instanceof Error ? error.message : String(error) };
    }
  }

  return { rewrite, resolve };
}
