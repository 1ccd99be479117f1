/**
 * Lists in DNS: whether an address or a domain is on one, and the reply to what is (reject_rbl_client and the like).
 */
// Utility
import { expand, ExpandError } from "../config/expand.ts";
import { isDigit, parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";
import { isValidDomain } from "../mail/domain.ts";
// Mail
import { domainOf, splitAddress } from "../mail/address.ts";
import { splitStatus } from "../mail/status_code.ts";
// Access
import { censor } from "./expansion_filter.ts";
import { isAnswered } from "./host_lookup.ts";
import type { ListContext, Row } from "./list_context.ts";
import { reverseLabels } from "./peer.ts";
import { DUNNO, fault, OK, type Question, reject, type Verdict } from "./policy.ts";
import { refusal, type ReplyText, shown } from "./reply.ts";
import { fitStatus, SUBJECT, type Subject } from "./subject.ts";

/** Longest reason of a list's that a reply has, UTF-16 units. */
const REASON_LIMIT = 300;
/** Longest name that can be asked for (RFC 1035 section 2.3.4). */
const NAME_LIMIT = 253;

/** A list, and which of its answers count. */
export interface DnsList {
  readonly domain: string;
  /** One set of numbers for each byte of the answer; undefined: any answer. */
  readonly filter: readonly (readonly [from: number, to: number][])[] | undefined;
}

/** Reads `domain` or `domain=d.d.d.d`, each d a number or `[1;3..5]`; undefined when it is neither. */
export function parseDnsList(text: string): DnsList | undefined {
  const equals = text.indexOf("=");
  if (equals < 0) return isValidDomain(text) ? { domain: text, filter: undefined } : undefined;
  const domain = text.slice(0, equals);
  const bytes = splitBytes(text.slice(equals + 1)).map(parseByte);
  const filter = bytes.filter((one) => one !== undefined);
  return bytes.length === 4 && filter.length === 4 && isValidDomain(domain) ? { domain, filter } : undefined;
}

/** The parts between dots that are outside of brackets. */
function splitBytes(text: string): string[] {
  const parts = [""];
  let inside = false;
  for (const character of text) {
    if (character === "[") inside = true;
    if (character === "]") inside = false;
    if (character === "." && !inside) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts;
}

function parseByte(text: string): [number, number][] | undefined {
  const bracketed = text.startsWith("[") && text.endsWith("]");
  const ranges = (bracketed ? text.slice(1, -1) : text).split(";").map((part) => {
    const dots = bracketed ? part.indexOf("..") : -1;
    const from = parseDecimal(dots < 0 ? part : part.slice(0, dots), 255);
    const to = dots < 0 ? from : parseDecimal(part.slice(dots + 2), 255);
    return from === undefined || to === undefined || from > to ? undefined : [from, to] as [number, number];
  });
  const good = ranges.filter((range) => range !== undefined);
  return good.length === ranges.length ? good : undefined;
}

/** True when an address in the answer is one that counts. */
export function counts({ filter }: DnsList, address: string): boolean {
  const bytes = parseIpAddress(address);
  if (bytes === undefined || bytes.length !== 4) return false;
  return filter === undefined ||
    filter.every((ranges, i) => ranges.some(([from, to]) => bytes[i]! >= from && bytes[i]! <= to));
}

/** What a list says of a name below it. */
type Listing =
  | { readonly kind: "listed"; readonly query: string }
  | { readonly kind: "free" }
  | { readonly kind: "retry" };

async function findListing(context: ListContext, list: DnsList, front: string): Promise<Listing> {
  const query = `${front}.${list.domain}`;
  if (query.length > NAME_LIMIT) return { kind: "free" };
  const answer = await context.services.dns.query(query, "A");
  if (answer.records.some(({ value }) => counts(list, value))) return { kind: "listed", query };
  if (isAnswered(answer) || answer.rcode === "policy") return { kind: "free" };
  context.services.warning?.(`${query}: RBL lookup error: ${answer.rcode}`);
  return { kind: "retry" };
}

/** What is sought in a list: the name below it, and what the reply calls it. */
interface Sought {
  readonly front: string;
  readonly what: string;
}

/** The client's address, backwards. */
function clientAddress({ peer }: Question): Sought | undefined {
  const bytes = parseIpAddress(peer.address);
  return bytes === undefined ? undefined : { front: reverseLabels(bytes), what: peer.address };
}

/** A domain name; addresses are on no such list. */
function domainName(name: string | undefined, what = name): Sought | undefined {
  if (name === undefined || what === undefined || name === "" || name === "unknown") return undefined;
  const front = name.endsWith(".") ? name.slice(0, -1) : name;
  const ends = front.charCodeAt(front.length - 1);
  // A name whose last label is a number is an address.
  return isDigit(ends) || !isValidDomain(front) || front.startsWith("[") ? undefined : { front, what };
}

/** A question, and what of it is sought in which list. */
interface Search extends Sought {
  readonly context: ListContext;
  readonly question: Question;
  readonly list: string;
}

/** A row that seeks something in the list it names; `judge` decides by what the list says. */
const searches = (
  find: (question: Question) => Sought | undefined,
  judge: (search: Search, listing: Listing) => Verdict | Promise<Verdict>,
): Row =>
(context, argument) => {
  const list = parseDnsList(argument);
  return async (question) => {
    if (list === undefined) return badList(context, argument);
    const sought = find(question);
    if (sought === undefined) return DUNNO;
    const listing = await findListing(context, list, sought.front);
    return await judge({ ...sought, context, question, list: argument }, listing);
  };
};

const refuses = (subject: Subject, find: (question: Question) => Sought | undefined): Row =>
  searches(find, async ({ context, question, list, what }, listing) => {
    // A list that does not answer has no opinion: else whoever runs it could stop all mail.
    if (listing.kind !== "listed") return DUNNO;
    return reject(await listedReply(context, subject, question, list, what, listing.query));
  });

const permits = (subject: Subject, find: (question: Question) => Sought | undefined): Row =>
  searches(find, ({ context, question, what }, listing) => {
    if (listing.kind === "free") return DUNNO;
    if (listing.kind === "retry") {
      const text = `<${shown(what)}>: ${subject.what} rejected: Service unavailable`;
      return { kind: "deferIfReject", reply: refusal(450, "4.7.1", text) };
    }
    // Who is well known is not therefore one of those for whom mail is relayed.
    const { resolved } = question;
    const relays = context.subject === SUBJECT.recipient && resolved !== undefined &&
      (resolved.class === "default" || resolved.routed);
    return relays ? DUNNO : OK;
  });

function badList({ services }: ListContext, argument: string): Verdict {
  services.warning?.(`bad DNS list "${shown(argument)}": need domain or domain=d.d.d.d`);
  return fault();
}

/** The reply by rbl_reply_maps or default_rbl_reply. */
async function listedReply(
  context: ListContext,
  subject: Subject,
  question: Question,
  list: string,
  what: string,
  query: string,
): Promise<ReplyText> {
  const { dns, maps, settings, warning } = context.services;
  const found = await maps.find("rbl_reply_maps", "key", list);
  const template = found.kind === "found" ? found.value : settings.default_rbl_reply;
  const text = await dns.query(query, "TXT");
  const reason = shown(text.records[0]?.value ?? "").slice(0, REASON_LIMIT);
  const values = macros(context, subject, question, list, what, reason);
  const lookup = (name: string) => censor(values.get(name) ?? "", settings.smtpd_expansion_filter);
  const expandedOr = (one: string): string | undefined => {
    try {
      return expand(one, lookup);
    } catch (error) {
      if (!(error instanceof ExpandError)) throw error;
      warning?.(`bad rbl reply template for domain ${list}: ${error.message}`);
      return undefined;
    }
  };
  const reply = expandedOr(template) ?? expandedOr(settings.default_rbl_reply) ?? "";
  return asReply(reply, settings.maps_rbl_reject_code, subject);
}

function asReply(text: string, fallback: number, subject: Subject): ReplyText {
  const code = parseDecimal(text.slice(0, 3), 599);
  const good = code !== undefined && code >= 400 && (text.length === 3 || text[3] === " ");
  const { status, text: words } = splitStatus(trimBlanks(good ? text.slice(3) : text), "4.7.1");
  return refusal(good ? code : fallback, fitStatus(status, subject), shown(words) || "Service unavailable");
}

function macros(
  { services }: ListContext,
  subject: Subject,
  question: Question,
  list: string,
  what: string,
  reason: string,
): ReadonlyMap<string, string> {
  const { peer, client, helo, sender, recipient, tls } = question;
  const equals = list.indexOf("=");
  const parts = (name: string, address: string | undefined): [string, string][] => {
    if (address === undefined) return [];
    const { localpart, domain } = splitAddress(address);
    return [[name, address || "<>"], [`${name}_name`, localpart || "<>"], [`${name}_domain`, domain ?? ""]];
  };
  return new Map([
    ["client", client],
    ["client_address", peer.address],
    ["client_name", peer.name],
    ["reverse_client_name", peer.reverseName],
    ["helo_name", helo],
    ...parts("sender", sender),
    ...parts("recipient", recipient),
    ["ccert_subject", tls?.certificate?.subject ?? ""],
    ["ccert_issuer", tls?.certificate?.issuer ?? ""],
    ["rbl_code", String(services.settings.maps_rbl_reject_code)],
    ["rbl_class", subject.what],
    ["rbl_domain", equals < 0 ? list : list.slice(0, equals)],
    ["rbl_reason", reason],
    ["rbl_txt", reason],
    ["rbl_what", shown(what)],
  ]);
}

const bySender = (q: Question) => q.sender ? domainName(domainOf(q.sender), q.sender) : undefined;
const byRecipient = (q: Question) => q.recipient ? domainName(domainOf(q.recipient), q.recipient) : undefined;

/** The restrictions by their names. */
export const DNS_LIST_ROWS = {
  reject_rbl_client: refuses(SUBJECT.client, clientAddress),
  permit_dnswl_client: permits(SUBJECT.client, clientAddress),
  reject_rhsbl_client: refuses(SUBJECT.client, (q) => domainName(q.peer.name)),
  permit_rhswl_client: permits(SUBJECT.client, (q) => domainName(q.peer.name)),
  reject_rhsbl_reverse_client: refuses(SUBJECT.reverseClient, (q) => domainName(q.peer.reverseName)),
  reject_rhsbl_helo: refuses(SUBJECT.helo, (q) => domainName(q.helo)),
  reject_rhsbl_sender: refuses(SUBJECT.sender, bySender),
  reject_rhsbl_recipient: refuses(SUBJECT.recipient, byRecipient),
} as const satisfies Readonly<Record<string, Row>>;
