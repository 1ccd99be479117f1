/**
 * Constant data bases in D. J. Bernstein's format: 256 pointers, records, 256 hash tables of slots. A look-up takes
 * three or four reads however many records there are; a file is never changed, only replaced as a whole.
 *
 * @module
 */
// Utility
import { ByteBuilder } from "../vstring/byte_builder.ts";

/** Largest file: positions are 32 bits. */
export const CDB_SIZE_LIMIT = 0xffff_ffff;

const TABLES = 256;
const POINTER_SIZE = 8;
/** Bytes of the pointers, behind which the records begin. */
export const CDB_HEADER_SIZE = TABLES * POINTER_SIZE;
/** Records are gathered to pieces of this size before they are written, bytes. */
const PIECE = 65_536;
/** Longest key or value that is read: no table of a mail system holds a longer one, bytes. */
const TEXT_LIMIT = 16 * 1024 * 1024;

/** Thrown for a file that is no data base, or is cut off. */
export class CdbError extends Error {
  override name = "CdbError";
}

/** Reads `length` bytes from `offset`; fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** The hash of a key. */
export function cdbHash(key: Uint8Array): number {
  let hash = 5381;
  for (const byte of key) hash = (((hash << 5) + hash) ^ byte) >>> 0;
  return hash;
}

/** Searches a data base. */
export class CdbReader {
  readonly #read: ReadAt;

  constructor(read: ReadAt) {
    this.#read = read;
  }

  /** The first value that the key has. */
  find(key: Uint8Array): Uint8Array | undefined {
    const hash = cdbHash(key);
    const [table, slots] = this.#pair((hash % TABLES) * POINTER_SIZE);
    if (slots === 0) return undefined;
    let slot = (hash >>> 8) % slots;
    // A table without an empty slot would have us go round for ever.
    for (let looked = 0; looked < slots; looked++) {
      const [found, at] = this.#pair(table + slot * POINTER_SIZE);
      if (at === 0) return undefined;
      const value = found === hash ? this.#valueOf(key, at) : undefined;
      if (value !== undefined) return value;
      if (++slot === slots) slot = 0;
    }
    return undefined;
  }

  /** Every key and value, in the file's order. */
  *entries(): Generator<[key: Uint8Array, value: Uint8Array]> {
    // The first hash table begins where the records end.
    const [end] = this.#pair(0);
    for (let at = CDB_HEADER_SIZE; at < end;) {
      const [keyLength, valueLength] = this.#pair(at);
      const record = this.#exactly(at + POINTER_SIZE, checked(keyLength) + checked(valueLength));
      yield [record.subarray(0, keyLength), record.subarray(keyLength)];
      at += POINTER_SIZE + record.length;
    }
  }

  #valueOf(key: Uint8Array, at: number): Uint8Array | undefined {
    const [keyLength, valueLength] = this.#pair(at);
    if (keyLength !== key.length) return undefined;
    const record = this.#exactly(at + POINTER_SIZE, keyLength + checked(valueLength));
    for (let i = 0; i < keyLength; i++) if (record[i] !== key[i]) return undefined;
    return record.subarray(keyLength);
  }

  #pair(at: number): [number, number] {
    const bytes = this.#exactly(at, POINTER_SIZE);
    const view = new DataView(bytes.buffer, bytes.byteOffset, POINTER_SIZE);
    return [view.getUint32(0, true), view.getUint32(4, true)];
  }

  #exactly(at: number, length: number): Uint8Array {
    const bytes = this.#read(at, length);
    if (bytes.length < length) throw new CdbError("file is cut off or is no constant data base");
    return bytes;
  }
}

function checked(length: number): number {
  if (length > TEXT_LIMIT) throw new CdbError(`record is longer than ${TEXT_LIMIT} bytes`);
  return length;
}

/**
 * The pieces of a new data base, to be written one behind the other: the records first, then the hash tables. The
 * header with the pointers, which stands at the start of the file, is the generator's result.
 */
export function* cdbPieces(
  entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>,
): Generator<Uint8Array, Uint8Array> {
  const lists: number[][] = Array.from({ length: TABLES }, () => []);
  const piece = new ByteBuilder(CDB_SIZE_LIMIT);
  let at = CDB_HEADER_SIZE;
  for (const [key, value] of entries) {
    const hash = cdbHash(key);
    lists[hash % TABLES]!.push(hash, at);
    piece.bytes(pairBytes(key.length, value.length)).bytes(key).bytes(value);
    at += POINTER_SIZE + key.length + value.length;
    if (at > CDB_SIZE_LIMIT) throw new CdbError(`data base would be larger than ${CDB_SIZE_LIMIT} bytes`);
    if (piece.length < PIECE) continue;
    yield piece.copy();
    piece.clear();
  }
  yield piece.copy();
  const header = new DataView(new ArrayBuffer(CDB_HEADER_SIZE));
  for (const [index, list] of lists.entries()) {
    const table = hashTable(list);
    header.setUint32(index * POINTER_SIZE, at, true);
    header.setUint32(index * POINTER_SIZE + 4, table.length / POINTER_SIZE, true);
    at += table.length;
    if (at > CDB_SIZE_LIMIT) throw new CdbError(`data base would be larger than ${CDB_SIZE_LIMIT} bytes`);
    yield table;
  }
  return new Uint8Array(header.buffer);
}

/** Twice as many slots as entries; each entry stands in the first free one from where its hash points. */
function hashTable(list: readonly number[]): Uint8Array {
  const slots = list.length;
  const table = new DataView(new ArrayBuffer(slots * POINTER_SIZE));
  for (let i = 0; i < list.length; i += 2) {
    let slot = (list[i]! >>> 8) % slots;
    while (table.getUint32(slot * POINTER_SIZE + 4, true) !== 0) slot = (slot + 1) % slots;
    table.setUint32(slot * POINTER_SIZE, list[i]!, true);
    table.setUint32(slot * POINTER_SIZE + 4, list[i + 1]!, true);
  }
  return new Uint8Array(table.buffer);
}

function pairBytes(first: number, second: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(POINTER_SIZE));
  view.setUint32(0, first, true);
  view.setUint32(4, second, true);
  return new Uint8Array(view.buffer);
}
