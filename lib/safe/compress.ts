/**
 * Compression of what is sent to others.
 *
 * @module
 */
import { gzip } from "node:zlib";

/** The bytes as a gzip file (RFC 1952), made in another thread. */
export function gzipOf(bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    gzip(bytes, (error, packed) => error ? reject(error) : resolve(new Uint8Array(packed)))
  );
}
