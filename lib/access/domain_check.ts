/**
 * Whether names are names, and whether there is somebody behind them: HELO names and the domains of addresses.
 */
// Mail
import { domainOf } from "../mail/address.ts";
import { isBracketed, isValidHostname, parseAddressLiteral } from "../mail/domain.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";
// Internal protocols
import type { Resolved } from "../proto/rewrite_client.ts";
// Access
import { isAnswered, isFilteredAway } from "./host_lookup.ts";
import { cannotTell, DUNNO, type Question, reject, type Services, type Verdict } from "./policy.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";
import { rejected, SUBJECT, type Subject } from "./subject.ts";

/** True for an address whose mail ends here: its domain need not be in DNS. */
function isFinal({ class: addressClass }: Resolved): boolean {
  return addressClass === "local" || addressClass === "alias" || addressClass === "virtual";
}

/** A name that may end in a dot, without it. */
function withoutDot(name: string): string {
  return name.length > 1 && name.endsWith(".") && name[name.length - 2] !== "." ? name.slice(0, -1) : name;
}

function isFullyQualified(domain: string): boolean {
  return isBracketed(domain) || (domain.includes(".") && isValidHostname(withoutDot(domain)));
}

/** The domain of an address has a dot, or there is none to judge. */
export function qualified(
  services: Services,
  subject: Subject,
  address: string | undefined,
  q: Question,
): Verdict {
  if (!address || isFullyQualified(domainOf(address))) return DUNNO;
  const text = rejected(subject, q, "need fully-qualified address");
  return reject(refusal(services.settings.non_fqdn_reject_code, "5.5.2", text));
}

/** A check of the HELO name; `[address]` is judged as an address. */
const ofHelo =
  (check: (services: Services, name: string, q: Question) => Verdict | Promise<Verdict>) =>
  (services: Services) =>
  (q: Question): Verdict | Promise<Verdict> => {
    if (q.helo === "") return DUNNO;
    if (!q.helo.startsWith("[")) return check(services, withoutDot(q.helo), q);
    if (parseAddressLiteral(q.helo) !== undefined) return DUNNO;
    const text = rejected(SUBJECT.helo, q, "invalid ip address");
    return reject(refusal(services.settings.invalid_hostname_reject_code, "5.5.2", text));
  };

/** reject_invalid_helo_hostname. */
export const rejectInvalidHelo = ofHelo(({ settings }, name, q) =>
  isValidHostname(name) || parseIpAddress(name) !== undefined ? DUNNO : reject(
    refusal(settings.invalid_hostname_reject_code, "5.5.2", rejected(SUBJECT.helo, q, "Invalid name")),
  )
);

/** reject_non_fqdn_helo_hostname. */
export const rejectNonFqdnHelo = ofHelo(({ settings }, name, q) => {
  if (isValidHostname(name) && name.includes(".")) return DUNNO;
  const text = rejected(SUBJECT.helo, q, "need fully-qualified hostname");
  return reject(refusal(settings.non_fqdn_reject_code, "5.5.2", text));
});

/** reject_unknown_helo_hostname: it has an address or a mail host. */
export const rejectUnknownHelo = ofHelo(async ({ dns, settings, warning }, name, q) => {
  let trouble = false;
  for (const type of ["A", "AAAA", "MX"] as const) {
    const answer = await dns.query(name, type);
    if (answer.records.length > 0 || isFilteredAway(answer, warning, name)) return DUNNO;
    trouble ||= !isAnswered(answer);
  }
  const text = rejected(SUBJECT.helo, q, "Host not found");
  return trouble
    ? cannotTell(refusal(450, "4.7.1", text), settings.unknown_helo_hostname_tempfail_action)
    : reject(refusal(settings.unknown_hostname_reject_code, "4.7.1", text));
});

/** How a domain that cannot be answered is refused. */
interface DomainWords {
  readonly subject: Subject;
  readonly unknown: string;
  readonly nullMx: readonly [number, string];
}

const SENDER_DOMAIN: DomainWords = {
  subject: SUBJECT.sender,
  unknown: "4.1.8",
  nullMx: [550, "5.7.27"],
};
const RECIPIENT_DOMAIN: DomainWords = {
  subject: SUBJECT.recipient,
  unknown: "4.1.2",
  nullMx: [556, "5.1.10"],
};

/** reject_unknown_sender_domain. A sender in a domain of ours is there, whatever DNS says of it. */
export async function rejectUnknownSender(services: Services, q: Question): Promise<Verdict> {
  if (!q.sender) return DUNNO;
  const resolved = await services.rewrite.resolve("", q.sender);
  if (resolved.kind === "retry") return reject(lookupFailure(q.sender));
  return isFinal(resolved) ? DUNNO : checkDomain(services, domainOf(q.sender), SENDER_DOMAIN, q);
}

/** reject_unknown_recipient_domain. */
export function rejectUnknownRecipient(services: Services, q: Question): Verdict | Promise<Verdict> {
  if (q.recipient === undefined || q.resolved === undefined || isFinal(q.resolved)) return DUNNO;
  return checkDomain(services, domainOf(q.recipient), RECIPIENT_DOMAIN, q);
}

/** Whether mail could be answered: the domain has an MX or an address, and says not that it takes none. */
async function checkDomain(
  { dns, settings, warning }: Services,
  domain: string,
  words: DomainWords,
  question: Question,
): Promise<Verdict> {
  if (domain === "" || isBracketed(domain)) return DUNNO;
  const mx = await dns.query(domain, "MX");
  if (mx.rcode === "ok" && mx.records.length > 0) {
    if (!mx.records.every((record) => record.value === "." || record.value === "")) return DUNNO;
    // RFC 7505 section 4.1 and 4.2: a domain with a null MX takes no mail and should send none.
    const what = `Domain ${shown(domain)} does not accept mail (nullMX)`;
    return reject(refusal(...words.nullMx, rejected(words.subject, question, what)));
  }
  if (isFilteredAway(mx, warning, domain)) return DUNNO;
  let trouble = !isAnswered(mx);
  for (const type of ["A", "AAAA"] as const) {
    const answer = await dns.query(domain, type);
    if (answer.records.length > 0 || isFilteredAway(answer, warning, domain)) return DUNNO;
    trouble ||= !isAnswered(answer);
  }
  const text = rejected(words.subject, question, "Domain not found");
  return trouble
    ? cannotTell(refusal(450, words.unknown, text), settings.unknown_address_tempfail_action)
    : reject(refusal(settings.unknown_address_reject_code, words.unknown, text));
}
