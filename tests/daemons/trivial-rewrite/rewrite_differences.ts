/**
 * What our answers and Debian's trivial-rewrite's may differ in: the rows of docs/differences.md, each with what it
 * covers. Not a test itself.
 *
 * @module
 */
import { isDotString, lastUnquotedAt, quoteLocalpart, unquoteLocalpart } from "../../../lib/mail/address.ts";
import { isValidDomain } from "../../../lib/mail/domain.ts";
import type { Question } from "./rewrite_questions.ts";

/** An answer: of "rewrite" the address, of "resolve" its parts, with nothing but `state` when there are none. */
export type Answer =
  | { readonly state: "address"; readonly address: string }
  | { readonly state: "bad" | "retry"; readonly recipient: string }
  | {
    readonly state: "resolved";
    readonly transport: string;
    readonly nexthop: string;
    readonly recipient: string;
    readonly class: string;
    readonly routed: boolean;
  };

type Resolved = Answer & { readonly state: "resolved" };

/** A row. */
export interface Difference {
  /** As the row in docs/differences.md begins. */
  readonly title: string;
  explains(question: Question, ours: Answer, theirs: Answer): boolean;
}

const domainOf = (address: string) => address.slice(address.lastIndexOf("@") + 1);

/** The next hop with a domain's letters folded; the text of an error has no such. */
function foldedHop({ transport, nexthop }: Resolved): string {
  return transport === "error" || transport === "retry" ? nexthop : nexthop.toLowerCase();
}

/** The same answer but for what `change` does to Postfix's. */
function sameBut(ours: Answer, theirs: Answer, change: (parts: Resolved) => object): boolean {
  if (ours.state !== "resolved" || theirs.state !== "resolved") return false;
  return JSON.stringify(ours) === JSON.stringify({ ...theirs, ...change(theirs) });
}

/** True for an address that the parsers of commands and headers let through. */
function isAddress(text: string): boolean {
  const colon = text.startsWith("@") ? text.indexOf(":") : -1;
  const hops = text.slice(0, Math.max(colon, 0)).split(",");
  if (colon >= 0 && !hops.every((hop) => hop.startsWith("@") && isValidDomain(hop.slice(1)))) return false;
  const address = text.slice(colon + 1);
  const at = lastUnquotedAt(address);
  const localpart = at < 0 ? address : address.slice(0, at);
  const quoted = isDotString(localpart) || quoteLocalpart(unquoteLocalpart(localpart)) === localpart;
  if (!quoted) return false;
  const domain = at < 0 ? "" : address.slice(at + 1);
  return domain === "" || isValidDomain(domain.endsWith(".") ? domain.slice(0, -1) : domain, { utf8: true });
}

export const DIFFERENCES: readonly Difference[] = [
  {
    title: "The next hop of a domain is in lower case",
    explains: (_, ours, theirs) => sameBut(ours, theirs, (parts) => ({ nexthop: foldedHop(parts) })),
  },
  {
    title: "An address without a local part is bad",
    explains: (_, ours, theirs) =>
      ours.state === "bad" && theirs.state === "resolved" && theirs.recipient.startsWith("@"),
  },
  {
    title: "A domain whose last label is a number is bad",
    explains: (_, ours, theirs) =>
      ours.state === "bad" && theirs.state === "resolved" && /\.[0-9]+$/.test(domainOf(theirs.recipient)),
  },
  {
    title: "A local part keeps its characters when routing in it is followed",
    explains: (_, ours, theirs) =>
      ours.state === "resolved" && ours.recipient.includes(",") &&
      sameBut(ours, theirs, (parts) => ({
        nexthop: foldedHop(parts),
        recipient: parts.recipient.replaceAll(", ", ","),
      })),
  },
  {
    title: "A bad address is bad though a table fails",
    explains: (_, ours, theirs) =>
      (ours.state === "bad" && theirs.state === "retry") ||
      (ours.state === "retry" && theirs.state === "bad"),
  },
  {
    title: "A quoted local part without a domain keeps its quotes",
    explains: (question, ours, theirs) =>
      question.address.startsWith('"') && question.address.includes("@") &&
      ours.state === "address" && ours.address === question.address &&
      theirs.state === "address" && theirs.address === unquoteLocalpart(question.address),
  },
  {
    title: "What is no address is rewritten without being mended",
    explains: (question) => question.kind === "rewrite" && !isAddress(question.address),
  },
];
