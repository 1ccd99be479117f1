/**
 * What a filter gives back, looked at before anything of it goes out: whoever writes a filter is told of a mistake, and
 * a result that is half right is none.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Filters
import type { FilterEdit, FilterResult } from "./filter.ts";

/** Most edits of one message. */
const EDITS_LIMIT = 1000;
/** Longest text for the client, UTF-16 units. */
const TEXT_LIMIT = 300;

/** Thrown for a result that is none. */
export class FilterResultError extends Error {
  override name = "FilterResultError";
}

/** The members of an edit and what each of them must be. */
const EDITS: Readonly<Record<FilterEdit["edit"], Readonly<Record<string, (value: unknown) => boolean>>>> = {
  addHeader: { name: isName, value: isText },
  insertHeader: { index: isIndex, name: isName, value: isText },
  changeHeader: { index: isOptionalIndex, name: isName, value: isText },
  removeHeader: { index: isOptionalIndex, name: isName },
  replaceBody: { body: isBody },
  changeSender: { address: isAddressOrNone },
  addRecipient: { address: isAddress },
  removeRecipient: { address: isAddress },
  hold: {},
};

/** The result, if it is one. Throws a FilterResultError. */
export function checkResult(value: unknown): FilterResult {
  if (typeof value !== "object" || value === null) throw new FilterResultError("its result is no object");
  const { verdict, text, edits } = value as { verdict?: unknown; text?: unknown; edits?: unknown };
  switch (verdict) {
    case "discard":
      return { verdict };
    case "reject":
    case "defer":
      if (typeof text !== "string" || text === "" || text.length > TEXT_LIMIT || !isPlain(text)) {
        throw new FilterResultError(`the text of "${verdict}" must be one line of ASCII`);
      }
      return { verdict, text };
    case "pass":
      if (edits === undefined) return { verdict };
      if (!Array.isArray(edits) || edits.length > EDITS_LIMIT) {
        throw new FilterResultError(`"edits" must be a list of at most ${EDITS_LIMIT}`);
      }
      return { verdict, edits: edits.map(checkEdit) };
    default:
      throw new FilterResultError(`there is no verdict "${printable(String(verdict), 50)}"`);
  }
}

function checkEdit(value: unknown): FilterEdit {
  const edit = value as Record<string, unknown> | null;
  const name = typeof edit === "object" && edit !== null ? String(edit["edit"]) : "";
  const members = Object.hasOwn(EDITS, name) ? EDITS[name as FilterEdit["edit"]] : undefined;
  if (members === undefined) throw new FilterResultError(`there is no edit "${printable(name, 50)}"`);
  for (const [member, good] of Object.entries(members)) {
    if (!good(edit![member])) {
      throw new FilterResultError(`"${member}" of the edit "${name}" is not what it must be`);
    }
  }
  return edit as unknown as FilterEdit;
}

/** RFC 5322 section 2.2: printable ASCII without a colon. */
function isName(value: unknown): boolean {
  return typeof value === "string" && value !== "" && value.length <= 998 && !value.includes(":") &&
    !value.includes(" ") && isPlain(value);
}

/** A header's value may have several lines, and no NUL. */
function isText(value: unknown): boolean {
  return typeof value === "string" && !value.includes("\0");
}

function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit > 0x7e) return false;
  }
  return true;
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x20 || text.charCodeAt(i) === 0x7f) return true;
  }
  return false;
}

function isIndex(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

function isOptionalIndex(value: unknown): boolean {
  return value === undefined || isIndex(value) && value !== 0;
}

function isBody(value: unknown): boolean {
  return value instanceof Uint8Array ||
    typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function isAddress(value: unknown): boolean {
  return isAddressOrNone(value) && value !== "";
}

function isAddressOrNone(value: unknown): boolean {
  return typeof value === "string" && value.length <= 1000 && !value.includes("<") &&
    !value.includes(">") && !hasControl(value);
}
