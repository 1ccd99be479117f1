/**
 * Client of the dns daemon.
 *
 * @module
 */
import type { IpcClient } from "../ipc/client.ts";
import { IpcError } from "../ipc/client.ts";
import type { ReplyValues, RequestValues } from "../ipc/protocol.ts";
import type { DNS } from "./protocols.ts";

/** What the daemon says of a name; see the protocol for the fields. */
export type DnsAnswer = ReplyValues<typeof DNS, "answer">;
export type DnsQueryType = RequestValues<typeof DNS, "query">["type"];

/** Who looks names up: the dns daemon's client, or a table in a test. */
export interface DnsLookup {
  query(name: string, type: DnsQueryType): Promise<DnsAnswer>;
}

/** Longest name that the daemon is asked for; anything longer cannot exist (RFC 1035 section 2.3.4). */
const NAME_LIMIT = 255;

/** Looks names up through the dns daemon. */
export class DnsClient implements DnsLookup {
  readonly #client: IpcClient<typeof DNS>;

  constructor(client: IpcClient<typeof DNS>) {
    this.#client = client;
  }

  /** The answer. A daemon that is away counts as a server failure: passing, never "no such name". */
  async query(name: string, type: DnsQueryType): Promise<DnsAnswer> {
    if (name.length > NAME_LIMIT) return without("nxdomain", name.slice(0, NAME_LIMIT));
    try {
      const reply = await this.#client.call("query", { name, type });
      return reply;
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return without("servfail", name);
    }
  }
}

function without(rcode: DnsAnswer["rcode"], name: string): DnsAnswer {
  return { rcode, authenticated: false, ttl: 0, canonicalName: name, records: [] };
}
