/**
 * What a client of TLS needs from files: master reads them, and hands their texts to the daemon, which may open none.
 *
 * @module
 */
import type { TlsIdentity } from "../safe/tls_server.ts";
import type { TrustAnchors } from "./client_chain.ts";
import { parseAnchors } from "./client_anchors.ts";

/** Texts of files, PEM. */
export interface ClientTlsMaterial {
  /** Certificates of the authorities that are trusted, one behind the other; empty when there are none. */
  readonly authorities: string;
  /** Certificates and keys that servers must descend from, in the place of the authorities; empty when not used. */
  readonly anchors: string;
  /** What the client shows to servers that ask. */
  readonly identity?: TlsIdentity;
}

/** A client that trusts nobody and shows nothing. */
export const NO_MATERIAL: ClientTlsMaterial = { authorities: "", anchors: "" };

/** The anchors that a text holds. */
export function readAnchors(text: string): TrustAnchors {
  return text === "" ? { certificates: [], keys: [] } : parseAnchors(text);
}
