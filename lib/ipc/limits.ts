/**
 * Limits that both ends of a connection between daemons share.
 *
 * @module
 */

/** Bytes by which a client may pass its window with the chunk that it was sending, with room for fields beside it. */
export const CHUNK_ALLOWANCE = 256 * 1024;
