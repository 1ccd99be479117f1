/**
 * Who a client is.
 *
 * @module
 */

/** A client. */
export interface Peer {
  /** Verified name, or "unknown". */
  readonly name: string;
  /** Name that the address has, verified or not, or "unknown". */
  readonly reverseName: string;
  /** IPv4, also for a client that came in the IPv4-mapped form, or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly serverAddress: string;
  readonly serverPort: number;
  /** The names could not be looked up now: a refusal for lack of one must be soft. */
  readonly nameTrouble: boolean;
  /** The client is on this machine. */
  readonly local: boolean;
}
