/** Frames written by hand. Not a test itself. @module */
import { concat, utf8 } from "../../support/bytes.ts";

/** One frame with its length. */
export function frameBytes(
  kind: number,
  exchange: number,
  payload: Uint8Array | string,
): Uint8Array<ArrayBuffer> {
  const data = typeof payload === "string" ? utf8(payload) : payload;
  const head = new DataView(new ArrayBuffer(9));
  head.setUint32(0, 5 + data.length);
  head.setUint8(4, kind);
  head.setUint32(5, exchange);
  return concat(new Uint8Array(head.buffer), data);
}
