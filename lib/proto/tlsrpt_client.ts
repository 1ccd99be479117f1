/**
 * Client of the tlsrpt daemon.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { RequestValues } from "../ipc/protocol.ts";
import type { TLSRPT } from "./tls_protocols.ts";

/** What became of TLS with one server; see the protocol for the fields. */
export type TlsResult = RequestValues<typeof TLSRPT, "result">;

/** Who keeps results: the daemon's client, or a list in a test. */
export interface TlsReporter {
  /** Takes a result. Nobody waits for it. */
  report(result: TlsResult): void;
}

/** Tells the daemon. */
export class TlsrptClient implements TlsReporter {
  readonly #client: IpcClient<typeof TLSRPT>;
  readonly #trouble: (error: unknown) => void;

  /** @param trouble gets errors that are not those of a daemon that is away */
  constructor(client: IpcClient<typeof TLSRPT>, trouble: (error: unknown) => void) {
    this.#client = client;
    this.#trouble = trouble;
  }

  report(result: TlsResult): void {
    this.#client.call("result", result).catch((error) => {
      // A report is about the many, not the one: what gets lost while the daemon is away is not missed.
      if (!(error instanceof IpcError)) this.#trouble(error);
    });
  }
}
