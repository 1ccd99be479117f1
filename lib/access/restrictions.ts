/**
 * Restriction lists (postfix-map section 5.4): each element is a row in a table, and the first that says OK or
 * REJECT ends its list.
 */
// Utility
import { asciiUpper, isDigit, splitBlanks } from "../vstring/ascii.ts";
import type { RESTRICTION_PARAMETERS } from "../config/check_restrictions.ts";
import type { RestrictionName } from "../config/restriction_names.ts";
// Mail
import { domainOf } from "../mail/address.ts";
import { isValidHostname } from "../mail/domain.ts";
import { splitStatus } from "../mail/status_code.ts";
// Internal protocols
import type { MapSearch } from "../proto/proxymap_client.ts";
import type { Resolved } from "../proto/rewrite_client.ts";
// Access
import {
  DUNNO,
  OK,
  type Question,
  reject,
  type Rule,
  type Ruling,
  type Services,
  type Step,
  type TableEntry,
  type Verdict,
} from "./policy.ts";
import { checkRecipientExists } from "./recipient.ts";
import { lookupFailure, refusal, type ReplyText, shown } from "./reply.ts";

/** One element of a list, ready to run. */
interface Element {
  readonly rule: Rule;
  /** Logged instead of refused. */
  readonly warnOnly: boolean;
  run(question: Question): Verdict | Promise<Verdict>;
}

/** A parameter that holds a restriction list. */
export type ListParameter = typeof RESTRICTION_PARAMETERS[number];

/** Makes a restriction of a list, with its argument. */
type Row = (services: Services, list: ListParameter, argument: string) => Element["run"];

/** A restriction list of one parameter. */
export class RestrictionList {
  readonly #elements: readonly Element[];
  readonly #applies: (question: Question) => boolean;

  constructor(services: Services, parameter: ListParameter, items: readonly string[]) {
    this.#elements = parseElements(services, parameter, items);
    // Without HELO there is nothing that the list could be about.
    this.#applies = parameter === "smtpd_helo_restrictions" ? (question) => question.helo !== "" : () => true;
  }

  get empty(): boolean {
    return this.#elements.length === 0;
  }

  /** Runs the list; gives the refusal with the rule that decided, or undefined when the list permits. */
  async evaluate(question: Question): Promise<Ruling> {
    if (!this.#applies(question)) return undefined;
    for (const element of this.#elements) {
      const verdict = await element.run(question);
      if (question.trace !== undefined) question.trace(stepOf(element, verdict));
      if (verdict.kind === "dunno") continue;
      if (verdict.kind === "ok") return undefined;
      const refusal = { reply: verdict.reply, rule: element.rule, entry: verdict.entry };
      if (!element.warnOnly) return refusal;
      question.warn(refusal);
    }
    return undefined;
  }
}

function stepOf({ rule, warnOnly }: Element, verdict: Verdict): Step {
  const { kind: outcome, entry } = verdict;
  return {
    rule,
    outcome,
    ...(verdict.kind === "reject" ? { reply: verdict.reply } : {}),
    ...(entry === undefined ? {} : { entry }),
    ...(warnOnly && verdict.kind === "reject" ? { note: "warn_if_reject" } : {}),
  };
}

/** @param words the list as the configuration gives it: restrictions, prefixes and tables one by one */
function parseElements(services: Services, parameter: ListParameter, words: readonly string[]): Element[] {
  const elements: Element[] = [];
  const place = services.origin(parameter);
  let warnOnly = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "warn_if_reject") {
      warnOnly = true;
      continue;
    }
    // A bare table is looked up with what the list is about.
    const name = word.includes(":") ? defaultAccess(parameter) : word;
    const needsArgument = name in ACCESS_CHECKS;
    const argument = !needsArgument ? "" : word.includes(":") ? word : words[++i] ?? "";
    const row = ROWS[name as RestrictionName];
    if (row === undefined || (needsArgument && argument === "")) {
      throw new Error(`Cannot use ${parameter}: unknown restriction or missing table: "${word}"`);
    }
    const rule = { text: argument === "" ? name : `${name} ${argument}`, parameter, place };
    elements.push({ rule, warnOnly, run: row(services, parameter, argument) });
    warnOnly = false;
  }
  return elements;
}

function defaultAccess(parameter: ListParameter): string {
  if (parameter === "smtpd_client_restrictions") return "check_client_access";
  if (parameter === "smtpd_helo_restrictions") return "check_helo_access";
  if (parameter === "smtpd_sender_restrictions") return "check_sender_access";
  if (parameter === "smtpd_etrn_restrictions") return "check_etrn_access";
  return "check_recipient_access";
}

/** What a refusal is about, as it says: `<name>: class rejected: text`. */
type Subject = (question: Question, text: string) => string;

const CLIENT: Subject = (q, text) => `<${q.client}>: Client host rejected: ${text}`;
const HELO: Subject = (q, text) => `<${shown(q.helo)}>: Helo command rejected: ${text}`;
const SENDER: Subject = (q, text) => `<${shown(q.sender)}>: Sender address rejected: ${text}`;
const RECIPIENT: Subject = (q, text) => `<${shown(q.recipient)}>: Recipient address rejected: ${text}`;
const ETRN: Subject = (q, text) => `<${shown(q.etrnDomain)}>: Etrn command rejected: ${text}`;
const DATA: Subject = (_, text) => `<DATA>: Data command rejected: ${text}`;

/** What a list is about. */
const LIST_SUBJECTS: Readonly<Record<ListParameter, Subject>> = {
  smtpd_client_restrictions: CLIENT,
  smtpd_data_restrictions: DATA,
  smtpd_etrn_restrictions: ETRN,
  smtpd_helo_restrictions: HELO,
  smtpd_recipient_restrictions: RECIPIENT,
  smtpd_relay_restrictions: RECIPIENT,
  smtpd_sender_restrictions: SENDER,
};

/** What each access check looks up, and how. */
interface AccessCheck {
  readonly subject: Subject;
  readonly search: MapSearch;
  key(question: Question): string | undefined;
}

const ACCESS_CHECKS: Readonly<Record<string, AccessCheck>> = Object.assign(
  Object.create(null),
  {
    check_client_access: {
      subject: CLIENT,
      search: "client",
      key: (q) => `${q.peer.name} ${q.peer.address}`,
    },
    check_etrn_access: { subject: ETRN, search: "domain", key: (q) => q.etrnDomain },
    check_helo_access: { subject: HELO, search: "domain", key: (q) => q.helo || undefined },
    check_sender_access: { subject: SENDER, search: "access", key: (q) => q.sender === "" ? "<>" : q.sender },
    check_recipient_access: {
      subject: RECIPIENT,
      search: "access",
      key: (q) => q.resolved?.recipient ?? q.recipient,
    },
  } satisfies Record<string, AccessCheck>,
);

const now = (verdict: Verdict): Row => () => () => verdict;

/** Runs only once there is a recipient. */
const atRecipient =
  (run: (services: Services, question: Question) => Verdict | Promise<Verdict>): Row =>
  (services) =>
  (question) => question.resolved === undefined ? DUNNO : run(services, question);

const accessOf = (name: string): Row => (services, list, argument) => (question) =>
  lookUpAccess(services, list, argument, ACCESS_CHECKS[name]!, question);

/** Refuses because a name is not fully qualified. */
function needsDomain(services: Services, text: string): Verdict {
  return reject(refusal(services.settings.non_fqdn_reject_code, "5.5.2", text));
}

const ROWS: Readonly<Record<RestrictionName, Row>> = {
  permit: now(OK),
  reject: ({ settings }, list) => (q) =>
    reject(refusal(settings.reject_code, "5.7.1", LIST_SUBJECTS[list](q, "Access denied"))),
  defer: ({ settings }, list) => (q) =>
    reject(refusal(settings.defer_code, "4.3.2", LIST_SUBJECTS[list](q, "Try again later"))),
  permit_mynetworks: () => (question) => question.trusted ? OK : DUNNO,
  permit_sasl_authenticated: now(DUNNO),
  permit_auth_destination: atRecipient((_, q) => isOurs(q) ? OK : DUNNO),
  reject_unauth_destination: atRecipient(({ settings }, q) =>
    isOurs(q) ? DUNNO : reject(
      refusal(settings.relay_domains_reject_code, "5.7.1", `<${shown(q.recipient)}>: Relay access denied`),
    )
  ),
  defer_unauth_destination: atRecipient((_, q) =>
    isOurs(q) ? DUNNO : reject(refusal(454, "4.7.1", `<${shown(q.recipient)}>: Relay access denied`))
  ),
  reject_unlisted_recipient: atRecipient((services, q) =>
    checkRecipientExists(services, q.recipient!, q.resolved!)
  ),
  reject_non_fqdn_sender: (services) => (q) =>
    !q.sender || isFullyQualified(domainOf(q.sender))
      ? DUNNO
      : needsDomain(services, SENDER(q, "need fully-qualified address")),
  reject_non_fqdn_recipient: (services) => (q) =>
    q.recipient === undefined || isFullyQualified(domainOf(q.recipient))
      ? DUNNO
      : needsDomain(services, RECIPIENT(q, "need fully-qualified address")),
  reject_invalid_helo_hostname: ({ settings }) => (q) =>
    q.helo === "" || isLiteral(q.helo) || isValidHostname(q.helo)
      ? DUNNO
      : reject(refusal(settings.invalid_hostname_reject_code, "5.5.2", HELO(q, "Invalid name"))),
  reject_non_fqdn_helo_hostname: (services) => (q) =>
    q.helo === "" || isLiteral(q.helo) || isFullyQualified(q.helo)
      ? DUNNO
      : needsDomain(services, HELO(q, "need fully-qualified hostname")),
  reject_unknown_client_hostname: ({ settings }) => ({ peer }) => {
    if (peer.name !== "unknown") return DUNNO;
    const code = peer.nameTrouble ? 450 : settings.unknown_client_reject_code;
    const text = `Client host rejected: cannot find your hostname, [${peer.address}]`;
    return reject(refusal(code, "4.7.25", text));
  },
  reject_unknown_sender_domain: (services) => (q) =>
    q.sender ? checkSenderDomain(services, q.sender, q) : DUNNO,
  reject_unknown_recipient_domain: atRecipient((services, q) =>
    isFinal(q.resolved!) ? DUNNO : checkDomain(services, domainOf(q.recipient!), RECIPIENT_DOMAIN, q)
  ),
  check_client_access: accessOf("check_client_access"),
  check_etrn_access: accessOf("check_etrn_access"),
  check_helo_access: accessOf("check_helo_access"),
  check_sender_access: accessOf("check_sender_access"),
  check_recipient_access: accessOf("check_recipient_access"),
};

/** True for an address whose mail ends here: its domain need not be in DNS. */
function isFinal({ class: addressClass }: Resolved): boolean {
  return addressClass === "local" || addressClass === "alias" || addressClass === "virtual";
}

/** True when mail for the recipient is ours to take: a final class or relay_domains, and not routed on by its local part. */
export function isOurs(question: Question): boolean {
  const { resolved } = question;
  return resolved !== undefined && resolved.class !== "default" && !resolved.routed;
}

function isFullyQualified(domain: string): boolean {
  return isLiteral(domain) || (domain.includes(".") && isValidHostname(domain));
}

function isLiteral(domain: string): boolean {
  return domain.startsWith("[") && domain.endsWith("]");
}

/** How a domain that cannot be answered is refused. */
interface DomainWords {
  readonly subject: Subject;
  readonly unknown: string;
  readonly nullMx: readonly [number, string];
}

const SENDER_DOMAIN: DomainWords = { subject: SENDER, unknown: "4.1.8", nullMx: [550, "5.7.27"] };
const RECIPIENT_DOMAIN: DomainWords = { subject: RECIPIENT, unknown: "4.1.2", nullMx: [556, "5.1.10"] };

/** A sender in a domain of ours is there, whatever DNS says of it. */
async function checkSenderDomain(services: Services, sender: string, question: Question): Promise<Verdict> {
  const resolved = await services.rewrite.resolve("", sender);
  if (resolved.kind === "retry") return reject(lookupFailure(sender));
  return isFinal(resolved) ? DUNNO : checkDomain(services, domainOf(sender), SENDER_DOMAIN, question);
}

/** Whether mail could be answered: the domain has an MX or an address, and says not that it takes none. */
async function checkDomain(
  { dns, settings }: Services,
  domain: string,
  words: DomainWords,
  question: Question,
): Promise<Verdict> {
  if (domain === "" || isLiteral(domain)) return DUNNO;
  const mx = await dns.query(domain, "MX");
  if (mx.rcode === "ok" && mx.records.length > 0) {
    if (!mx.records.every((record) => record.value === "." || record.value === "")) return DUNNO;
    // RFC 7505 section 4.1 and 4.2: a domain with a null MX takes no mail and should send none.
    const text = words.subject(question, `Domain ${shown(domain)} does not accept mail (nullMX)`);
    return reject(refusal(...words.nullMx, text));
  }
  let trouble = mx.rcode !== "ok" && mx.rcode !== "nxdomain";
  for (const type of ["A", "AAAA"] as const) {
    const answer = await dns.query(domain, type);
    if (answer.records.length > 0) return DUNNO;
    trouble ||= answer.rcode !== "ok" && answer.rcode !== "nxdomain";
  }
  const code = trouble ? 450 : settings.unknown_address_reject_code;
  return reject(refusal(code, words.unknown, words.subject(question, "Domain not found")));
}

async function lookUpAccess(
  services: Services,
  list: ListParameter,
  table: string,
  check: AccessCheck,
  question: Question,
): Promise<Verdict> {
  const key = check.key(question);
  if (key === undefined) return DUNNO;
  const found = await services.maps.find(list, check.search, key, table);
  if (found.kind === "missing") return DUNNO;
  const subject = (text: string) => check.subject(question, text);
  if (found.kind === "retry") return reject(refusal(451, "4.3.5", subject(CONFIGURATION_ERROR)));
  const verdict = accessVerdict(services, found.value, subject);
  const entry: TableEntry = { table, value: found.value, place: found.place ?? "" };
  // A recipient that says itself where to go on is never permitted: it would be relayed by its local part.
  return verdict === OK && check.subject === RECIPIENT && question.resolved?.routed === true
    ? { ...DUNNO, entry }
    : { ...verdict, entry };
}

const CONFIGURATION_ERROR = "Server configuration error";

/** The action of an access table as a verdict; one that this version does not know is a soft refusal, never a permit. */
function accessVerdict({ settings }: Services, value: string, subject: (text: string) => string): Verdict {
  const [word = "", ...rest] = splitBlanks(value);
  const text = rest.join(" ");
  const refused = (code: number, status: string) => reject(accessRefusal(code, status, text, subject));
  switch (asciiUpper(word)) {
    case "OK":
    case "PERMIT":
      return OK;
    case "DUNNO":
      return DUNNO;
    case "REJECT":
      return refused(settings.access_map_reject_code, "5.7.1");
    case "DEFER":
      return refused(settings.access_map_defer_code, "4.7.1");
  }
  if (isReplyCode(word) && text !== "") return refused(Number(word), `${word[0]}.7.1`);
  if (isNumber(word) && text === "") return OK; // all digits: permit, as Postfix
  return reject(refusal(451, "4.3.5", subject(CONFIGURATION_ERROR)));
}

/** The table's text, with its own status code when it begins with one. */
function accessRefusal(
  code: number,
  status: string,
  text: string,
  subject: (text: string) => string,
): ReplyText {
  const split = splitStatus(text, status);
  return refusal(code, split.status, subject(shown(split.text) || "Access denied"));
}

function isReplyCode(word: string): boolean {
  return word.length === 3 && (word[0] === "4" || word[0] === "5") && isNumber(word);
}

function isNumber(word: string): boolean {
  for (let i = 0; i < word.length; i++) if (!isDigit(word.charCodeAt(i))) return false;
  return word !== "";
}
