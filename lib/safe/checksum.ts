/**
 * Checksums of what is read back after a crash.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/**
 * CRC-32 (ISO 3309) of bytes, from 0 to 2^32 - 1. It tells a torn write from a whole one, not a forged one.
 *
 * @param before checksum of what stands in front of them
 */
export function checksum(bytes: Uint8Array, before = 0): number {
  return crc32(bytes, before);
}
