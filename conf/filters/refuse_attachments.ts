/**
 * Refuses mail with an attachment of a kind that is mostly used to do harm, by the names that its parts give themselves.
 * It looks at lines of the body while they come in, and holds none of them. No substitute for a virus scanner.
 */
import type { Filter, FilterMay } from "../../lib/filter/filter.ts";

export const may: FilterMay = {
  reads: [],
  net: [],
  time: 60,
  memory: 64,
};

const REFUSED = [
  "bat",
  "cmd",
  "com",
  "exe",
  "hta",
  "iso",
  "js",
  "jse",
  "lnk",
  "pif",
  "ps1",
  "scr",
  "vbe",
  "vbs",
];
/** Longest line that is looked at, bytes; the rest of a longer one is passed over. */
const LINE_MOST = 2000;

/** The extension of the name that a Content-Type or Content-Disposition line gives; empty: none. */
function extensionIn(line: string): string {
  const lower = line.toLowerCase();
  const at = Math.max(lower.lastIndexOf("name="), lower.lastIndexOf("name*="), lower.lastIndexOf("name*0="));
  if (at < 0) return "";
  const value = lower.slice(lower.indexOf("=", at) + 1).split(";")[0]!.replaceAll('"', "").trim();
  const dot = value.lastIndexOf(".");
  return dot < 0 ? "" : value.slice(dot + 1);
}

function isRefused(line: string): boolean {
  return REFUSED.includes(extensionIn(line));
}

export const filter: Filter = async (message) => {
  const refuse = { verdict: "reject", text: "attachments of this kind are not accepted here" } as const;
  const own = ["content-type", "content-disposition"].map((name) => message.header(name) ?? "");
  if (own.some((value) => value.split("\n").some(isRefused))) return refuse;
  const decoder = new TextDecoder("latin1");
  let line = "";
  for await (const piece of message.body()) {
    const lines = (line + decoder.decode(piece)).split("\r\n");
    line = lines.pop()!.slice(0, LINE_MOST);
    if (lines.some((one) => one.length <= LINE_MOST && isRefused(one))) return refuse;
  }
  return isRefused(line) ? refuse : { verdict: "pass" };
};
