/**
 * Adds a footer to plain text that leaves us: to the body of mail whose sender is one of ours. Mail in several parts, in
 * another encoding or signed is left as it is, as a footer would break it.
 */
import type { Filter, FilterMay, FilterMessage } from "../../lib/filter/filter.ts";

export const may: FilterMay = {
  reads: [],
  net: [],
  time: 30,
  memory: 128,
};

const OUR_DOMAINS = ["example.com", "example.test"];
const FOOTER = "-- \r\nExample Ltd. This mail is for whom it was sent to.\r\n";
/** Longer mail gets no footer, bytes: the body is held until it is complete. */
const MOST = 1024 * 1024;

/** True for a message whose body is its text and nothing else. */
function isPlainText(message: FilterMessage): boolean {
  const type = (message.header("content-type") ?? "text/plain").toLowerCase();
  const encoding = (message.header("content-transfer-encoding") ?? "7bit").trim().toLowerCase();
  return type.startsWith("text/plain") && ["7bit", "8bit"].includes(encoding) &&
    message.header("dkim-signature") === undefined;
}

export const filter: Filter = async (message) => {
  const domain = message.sender.slice(message.sender.lastIndexOf("@") + 1).toLowerCase();
  if (!OUR_DOMAINS.includes(domain) || !isPlainText(message)) return { verdict: "pass" };
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of message.body()) {
    pieces.push(piece);
    size += piece.length;
    if (size > MOST) return { verdict: "pass" };
  }
  pieces.push(new TextEncoder().encode(FOOTER));
  const body = new Blob(pieces as Uint8Array<ArrayBuffer>[]).stream();
  return { verdict: "pass", edits: [{ edit: "replaceBody", body }] };
};
