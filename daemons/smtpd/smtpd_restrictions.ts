/**
 * Restriction lists (postfix-map section 5.4): each element is a row in a table, and the first that says OK or
 * REJECT ends its list.
 */
// Utility
import { asciiUpper, parseDecimal, splitBlanks } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { RestrictionName } from "../../lib/config/restriction_names.ts";
// Mail
import { domainOf } from "../../lib/mail/address.ts";
import { isValidHostname } from "../../lib/mail/domain.ts";
import { statusLength } from "../../lib/mail/status_code.ts";
// Server skeleton
import type { MapSearch } from "../../lib/proto/proxymap_client.ts";
// This program
import { DUNNO, OK, type Question, reject, type Services, type Verdict } from "./smtpd_policy.ts";
import { checkRecipientExists } from "./smtpd_recipient.ts";
import { REPLY } from "./smtpd_reply.ts";

/** One element of a list, ready to run. */
interface Element {
  readonly name: string;
  /** Logged instead of refused. */
  readonly warnOnly: boolean;
  run(question: Question): Verdict | Promise<Verdict>;
}

/** The outcome of a list, and the element that decided. */
export interface Decision {
  readonly verdict: Verdict;
  readonly by: string;
}

/** Answers whether an element alone may permit or refuse, with its argument. */
type Row = (services: Services, parameter: string, argument: string) => Element["run"];

/** A restriction list of one parameter. */
export class RestrictionList {
  readonly #elements: readonly Element[];
  readonly #warn: (text: string) => void;

  /** @param warn gets what warn_if_reject would have refused */
  constructor(services: Services, parameter: string, items: readonly string[], warn: (text: string) => void) {
    this.#elements = parseElements(services, parameter, items);
    this.#warn = warn;
  }

  get empty(): boolean {
    return this.#elements.length === 0;
  }

  /** Runs the list; at its end the verdict is DUNNO. */
  async evaluate(question: Question): Promise<Decision> {
    for (const element of this.#elements) {
      const verdict = await element.run(question);
      if (verdict.kind === "dunno") continue;
      if (verdict.kind === "reject" && element.warnOnly) this.#warn(verdict.reply);
      else return { verdict, by: element.name };
    }
    return { verdict: DUNNO, by: "" };
  }
}

function parseElements(services: Services, parameter: string, items: readonly string[]): Element[] {
  const words = items.flatMap((item) => splitBlanks(item, true));
  const elements: Element[] = [];
  let warnOnly = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "warn_if_reject") {
      warnOnly = true;
      continue;
    }
    // A bare table is looked up with what the list is about.
    const name = word.includes(":") ? defaultAccess(parameter) : word;
    const needsArgument = name in ACCESS_SUBJECTS;
    const argument = !needsArgument ? "" : word.includes(":") ? word : words[++i] ?? "";
    const row = ROWS[name as RestrictionName];
    if (row === undefined || (needsArgument && argument === "")) {
      throw new Error(`Cannot use ${parameter}: unknown restriction or missing table: "${word}"`);
    }
    elements.push({
      name: argument === "" ? name : `${name} ${argument}`,
      warnOnly,
      run: row(services, parameter, argument),
    });
    warnOnly = false;
  }
  return elements;
}

function defaultAccess(parameter: string): string {
  if (parameter === "smtpd_client_restrictions") return "check_client_access";
  if (parameter === "smtpd_helo_restrictions") return "check_helo_access";
  if (parameter === "smtpd_sender_restrictions") return "check_sender_access";
  return "check_recipient_access";
}

/** What each access check looks up, and how. */
const ACCESS_SUBJECTS: Readonly<
  Record<string, { search: MapSearch; key: (question: Question) => string | undefined }>
> = {
  check_client_access: { search: "client", key: (q) => `${q.peer.name} ${q.peer.address}` },
  check_helo_access: { search: "domain", key: (q) => q.helo || undefined },
  check_sender_access: { search: "access", key: (q) => q.sender === "" ? "<>" : q.sender },
  check_recipient_access: { search: "access", key: (q) => q.resolved?.recipient ?? q.recipient },
};

const now = (verdict: Verdict): Row => () => () => verdict;

/** Runs only once there is a recipient. */
const atRecipient =
  (run: (services: Services, question: Question) => Verdict | Promise<Verdict>): Row =>
  (services) =>
  (question) => question.resolved === undefined ? DUNNO : run(services, question);

const accessOf = (name: string): Row => (services, parameter, argument) => (question) => {
  const subject = ACCESS_SUBJECTS[name]!;
  return lookUpAccess(services, parameter, argument, subject.search, subject.key(question));
};

const ROWS: Readonly<Record<RestrictionName, Row>> = {
  permit: now(OK),
  reject: (services) => () => reject(`${services.settings.reject_code} 5.7.1 Access denied`),
  defer: (services) => () => reject(`${services.settings.defer_code} 4.3.2 Try again later`),
  permit_mynetworks: () => (question) => question.trusted ? OK : DUNNO,
  permit_sasl_authenticated: now(DUNNO),
  permit_auth_destination: atRecipient((_, q) => isOurs(q) ? OK : DUNNO),
  reject_unauth_destination: atRecipient((services, q) =>
    isOurs(q) ? DUNNO : reject(
      `${services.settings.relay_domains_reject_code} 5.7.1 <${shown(q.recipient)}>: Relay access denied`,
    )
  ),
  defer_unauth_destination: atRecipient((_, q) =>
    isOurs(q) ? DUNNO : reject(`454 4.7.1 <${shown(q.recipient)}>: Relay access denied`)
  ),
  reject_unlisted_recipient: atRecipient((services, q) =>
    checkRecipientExists(services, q.recipient!, q.resolved!)
  ),
  reject_non_fqdn_sender: (services) => (q) =>
    q.sender === undefined || q.sender === "" || isFullyQualified(domainOf(q.sender)) ? DUNNO : reject(
      `${services.settings.non_fqdn_reject_code} 5.5.2 <${
        shown(q.sender)
      }>: Sender address rejected: need fully-qualified address`,
    ),
  reject_non_fqdn_recipient: (services) => (q) =>
    q.recipient === undefined || isFullyQualified(domainOf(q.recipient)) || isPostmaster(q.recipient)
      ? DUNNO
      : reject(
        `${services.settings.non_fqdn_reject_code} 5.5.2 <${
          shown(q.recipient)
        }>: Recipient address rejected: need fully-qualified address`,
      ),
  reject_invalid_helo_hostname: (services) => (q) =>
    q.helo === "" || isLiteral(q.helo) || isValidHostname(q.helo) ? DUNNO : reject(
      `${services.settings.invalid_hostname_reject_code} 5.5.2 <${
        shown(q.helo)
      }>: Helo command rejected: Invalid name`,
    ),
  reject_non_fqdn_helo_hostname: (services) => (q) =>
    q.helo === "" || isLiteral(q.helo) || isFullyQualified(q.helo) ? DUNNO : reject(
      `${services.settings.non_fqdn_reject_code} 5.5.2 <${
        shown(q.helo)
      }>: Helo command rejected: need fully-qualified hostname`,
    ),
  reject_unknown_client_hostname: (services) => (q) =>
    q.peer.name !== "unknown" ? DUNNO : reject(
      `${
        q.peer.nameTrouble ? 450 : services.settings.unknown_client_reject_code
      } 4.7.25 Client host rejected: cannot find your hostname, [${q.peer.address}]`,
    ),
  reject_unknown_sender_domain: (services) => (q) =>
    q.sender === undefined || q.sender === ""
      ? DUNNO
      : checkDomain(services, domainOf(q.sender), (text) =>
        `<${shown(q.sender)}>: Sender address rejected: ${text}`),
  reject_unknown_recipient_domain: atRecipient((services, q) =>
    isOurs(q)
      ? DUNNO
      : checkDomain(services, domainOf(q.recipient!), (text) =>
        `<${shown(q.recipient)}>: Recipient address rejected: ${text}`)
  ),
  check_client_access: accessOf("check_client_access"),
  check_helo_access: accessOf("check_helo_access"),
  check_sender_access: accessOf("check_sender_access"),
  check_recipient_access: accessOf("check_recipient_access"),
};

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

/** RFC 5321 section 4.5.1: postmaster without a domain must be accepted. */
export function isPostmaster(address: string): boolean {
  return asciiUpper(address) === "POSTMASTER";
}

function shown(text: string | undefined): string {
  return printable(text ?? "", 320);
}

/** Whether mail could be answered: the domain has an MX or an address, and says not that it takes none. */
async function checkDomain(
  services: Services,
  domain: string,
  text: (why: string) => string,
): Promise<Verdict> {
  if (domain === "" || isLiteral(domain)) return DUNNO;
  const mx = await services.dns.query(domain, "MX");
  if (mx.rcode === "ok" && mx.records.length > 0) {
    const none = mx.records.every((record) => record.value === "." || record.value === "");
    // RFC 7505 section 4.1 and 4.2: a domain with a null MX takes no mail and should send none.
    return none ? reject(`550 5.7.27 ${text("Domain does not accept mail (nullMX)")}`) : DUNNO;
  }
  let trouble = mx.rcode !== "ok" && mx.rcode !== "nxdomain";
  for (const type of ["A", "AAAA"] as const) {
    const answer = await services.dns.query(domain, type);
    if (answer.records.length > 0) return DUNNO;
    trouble ||= answer.rcode !== "ok" && answer.rcode !== "nxdomain";
  }
  if (trouble) return reject(`450 4.1.8 ${text("Domain not found")}`);
  return reject(`${services.settings.unknown_address_reject_code} 4.1.8 ${text("Domain not found")}`);
}

async function lookUpAccess(
  services: Services,
  parameter: string,
  table: string,
  search: MapSearch,
  key: string | undefined,
): Promise<Verdict> {
  if (key === undefined) return DUNNO;
  const found = await services.maps.find(parameter, search, key, table);
  if (found.kind === "missing") return DUNNO;
  if (found.kind === "retry") return reject(REPLY.lookupFailure);
  return accessVerdict(services, found.value, key);
}

/** The action of an access table as a verdict; one that this version does not know is a soft refusal, never a permit. */
function accessVerdict(services: Services, value: string, key: string): Verdict {
  const [word = "", ...rest] = splitBlanks(value);
  const text = rest.join(" ");
  const subject = `<${printable(key, 320)}>: Access denied`;
  switch (asciiUpper(word)) {
    case "OK":
    case "PERMIT":
      return OK;
    case "DUNNO":
      return DUNNO;
    case "REJECT":
      return reject(withStatus(services.settings.access_map_reject_code, "5.7.1", text || subject));
    case "DEFER":
      return reject(withStatus(services.settings.access_map_defer_code, "4.7.1", text || subject));
  }
  const code = parseDecimal(word, 599);
  if (code !== undefined && code >= 400) {
    return reject(withStatus(code, code < 500 ? "4.7.1" : "5.7.1", text || subject));
  }
  if (code !== undefined) return OK; // all digits: permit, as Postfix
  return reject("451 4.3.5 Server configuration error");
}

function withStatus(code: number, status: string, text: string): string {
  return statusLength(text) > 0 ? `${code} ${text}` : `${code} ${status} ${text}`;
}
