/**
 * Client of the sts daemon.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { ReplyValues } from "../ipc/protocol.ts";
import type { STS } from "./tls_protocols.ts";

/** The policy of a domain; see the protocol for the fields. */
export type StsAnswer = ReplyValues<typeof STS, "policy">;

/** Who knows policies: the daemon's client, or a table in a test. */
export interface StsLookup {
  /** The policy; undefined while nobody can tell. */
  policy(domain: string): Promise<StsAnswer | undefined>;
}

/** Longest domain that is asked for. */
const DOMAIN_LIMIT = 255;

/** Asks the daemon. */
export class StsClient implements StsLookup {
  readonly #client: IpcClient<typeof STS>;

  constructor(client: IpcClient<typeof STS>) {
    this.#client = client;
  }

  async policy(domain: string): Promise<StsAnswer | undefined> {
    if (domain.length > DOMAIN_LIMIT) return undefined;
    try {
      return await this.#client.call("find", { domain });
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return undefined;
    }
  }
}
