/**
 * Headers whose addresses may be replaced, in mail that comes in (canonical maps) and that goes out (generic maps).
 *
 * @module
 */
import { COLON } from "../vstring/ascii.ts";
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { findHeaderAddresses, type HeaderAddress, replaceInHeader } from "./header_address.ts";

/** Whose addresses a header holds, in the words of canonical_classes. */
export type HeaderRole = "header_sender" | "header_recipient";

/** Headers whose addresses are rewritten, and what they are for the maps: Postfix's header_opts. */
const ADDRESS_HEADERS: ReadonlyMap<string, HeaderRole> = new Map([
  ["from", "header_sender"],
  ["sender", "header_sender"],
  ["reply-to", "header_sender"],
  ["errors-to", "header_sender"],
  ["return-path", "header_sender"],
  ["return-receipt-to", "header_sender"],
  ["disposition-notification-to", "header_sender"],
  ["mail-followup-to", "header_sender"],
  ["resent-from", "header_sender"],
  ["resent-sender", "header_sender"],
  ["to", "header_recipient"],
  ["cc", "header_recipient"],
  ["bcc", "header_recipient"],
  ["apparently-to", "header_recipient"],
  ["resent-to", "header_recipient"],
  ["resent-cc", "header_recipient"],
  ["resent-bcc", "header_recipient"],
  ["resent-reply-to", "header_recipient"],
]);

/** Whose addresses a header holds, by its name in lower case; undefined when they are not rewritten. */
export function roleOfHeader(name: string): HeaderRole | undefined {
  return ADDRESS_HEADERS.get(name);
}

/** The addresses of a whole header, with offsets from its colon on. */
export function addressesOfField(field: Uint8Array, tokenLimit: number): readonly HeaderAddress[] {
  return findHeaderAddresses(field.subarray(field.indexOf(COLON) + 1), tokenLimit).addresses;
}

/**
 * The header with other addresses and every other byte as it was; the same one when there are none.
 *
 * @param found as `addressesOfField` gave them
 * @param texts the address for each, external form
 */
export function replaceAddresses(
  field: Uint8Array,
  found: readonly HeaderAddress[],
  texts: readonly string[],
): Uint8Array {
  const replacements = found.flatMap(({ start, end, address }, i) =>
    texts[i] === address ? [] : [{ start, end, text: texts[i]! }]
  );
  if (replacements.length === 0) return field;
  const colon = field.indexOf(COLON) + 1;
  const changed = replaceInHeader(field.subarray(colon), replacements);
  return new ByteBuilder(colon + changed.length, colon + changed.length).slice(field, 0, colon).bytes(changed)
    .view();
}
