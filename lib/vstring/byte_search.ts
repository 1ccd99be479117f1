/**
 * Search for bytes. `Uint8Array.indexOf` looks for one value only, and is slower than four bytes at a time.
 *
 * @module
 */

/** From here on looking at four bytes at a time pays for the view that it takes, bytes. */
const WORTH_WORDS = 64;
const WORD = 4;

/** Where one of two values (0 to 255) stands first, from `start` up to `end`; -1 when neither does. */
export function findEither(bytes: Uint8Array, a: number, b: number, start: number, end: number): number {
  if (end - start < WORTH_WORDS) return findByte(bytes, a, b, start, end);
  const aligned = start + (-(bytes.byteOffset + start) & (WORD - 1));
  const found = findByte(bytes, a, b, start, aligned);
  if (found >= 0) return found;
  const count = (end - aligned) >>> 2;
  const at = aligned +
    findWord(new Uint32Array(bytes.buffer, bytes.byteOffset + aligned, count), a, b) * WORD;
  return findByte(bytes, a, b, at, end);
}

function findByte(bytes: Uint8Array, a: number, b: number, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    if (byte === a || byte === b) return i;
  }
  return -1;
}

/** The first word that has one of the values; the number of words when none has. */
function findWord(words: Uint32Array, a: number, b: number): number {
  const fourA = a * 0x01010101;
  const fourB = b * 0x01010101;
  for (let i = 0; i < words.length; i++) {
    // A byte that is the value becomes 0. Taking 1 from each byte sets the top bit of those that were 0, and may set it
    // of those above the first of them: that one is what counts.
    const zeroA = words[i]! ^ fourA;
    const zeroB = words[i]! ^ fourB;
    if ((((zeroA - 0x01010101) & ~zeroA) | ((zeroB - 0x01010101) & ~zeroB)) & 0x80808080) return i;
  }
  return words.length;
}
