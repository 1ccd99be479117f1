/**
 * What a refusal is about, as it says: `<name>: class rejected: text`. An enhanced code that is about addresses is made
 * one that fits what is refused, as the same table may be asked about clients, senders and recipients.
 */
// Access
import type { Question } from "./policy.ts";
import { shown } from "./reply.ts";

/** What is refused. */
export interface Subject {
  /** "Client host", ...: the class. */
  readonly what: string;
  /** Whose codes of the kind x.1.y it may have; undefined: nobody's. */
  readonly address?: "sender" | "recipient";
  /** The name in the brackets. */
  name(question: Question): string | undefined;
}

/** The words of a refusal. */
export function rejected(subject: Subject, question: Question, text: string): string {
  return `<${shown(subject.name(question))}>: ${subject.what} rejected: ${text}`;
}

/** Details of the codes x.1.y about addresses: what each is for a sender, and for a recipient. Any other is 0. */
const ADDRESS_DETAILS: ReadonlyMap<string, readonly [sender: string, recipient: string]> = new Map([
  ["1", ["7", "1"]],
  ["2", ["8", "2"]],
  ["3", ["7", "3"]],
  ["4", ["7", "4"]],
  ["5", ["0", "5"]],
  ["6", ["7", "6"]],
  ["7", ["7", "3"]],
  ["8", ["8", "2"]],
]);

/** The enhanced code as it fits what is refused. */
export function fitStatus(status: string, subject: Subject): string {
  const [head, topic, detail = ""] = status.split(".");
  if (topic !== "1") return status;
  if (subject.address === undefined) return `${head}.0.0`;
  const details = ADDRESS_DETAILS.get(detail);
  return `${head}.1.${details === undefined ? "0" : details[subject.address === "sender" ? 0 : 1]}`;
}

/** The things that there are rules about. */
export const SUBJECT = {
  client: { what: "Client host", name: (q) => q.client },
  reverseClient: { what: "Unverified Client host", name: (q) => q.peer.reverseName },
  certificate: { what: "Client certificate", name: (q) => q.tls?.certificate?.fingerprint },
  login: { what: "SASL login name", name: (q) => q.sasl?.username },
  helo: { what: "Helo command", name: (q) => q.helo },
  sender: { what: "Sender address", address: "sender", name: (q) => q.sender },
  recipient: { what: "Recipient address", address: "recipient", name: (q) => q.recipient },
  etrn: { what: "Etrn command", name: (q) => q.etrnDomain },
  data: { what: "Data command", name: () => "DATA" },
  endOfData: { what: "End-of-data", name: () => "END-OF-MESSAGE" },
} as const satisfies Readonly<Record<string, Subject>>;
