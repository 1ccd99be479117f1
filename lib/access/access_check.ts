/**
 * check_*_access: what a table says of a client, a name or an address, or of the hosts behind a name.
 */
// Utility
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
// Mail
import { domainOf } from "../mail/address.ts";
import { parseAddressLiteral } from "../mail/domain.ts";
// Tables
import { splitBraced, unbrace } from "../table/braces.ts";
// Internal protocols
import type { MapSearch } from "../proto/proxymap_client.ts";
// Access
import { accessVerdict } from "./access_action.ts";
import { hostAddresses, type HostKind, hostsOf } from "./host_lookup.ts";
import type { ListContext, Row } from "./list_context.ts";
import { cannotTell, DUNNO, fault, type Question, reject, type TableEntry, type Verdict } from "./policy.ts";
import { lookupFailure, refusal } from "./reply.ts";
import { rejected, SUBJECT, type Subject } from "./subject.ts";

/** Most addresses of hosts that one check looks up, as in Postfix. */
const ADDRESS_LIMIT = 100;

/** A table and what is asked of it. */
interface TableCheck {
  readonly context: ListContext;
  readonly table: string;
  readonly subject: Subject;
  /** "check_client_access", for warnings. */
  readonly name: string;
}

/** Looks one key up; undefined when the table does not have it. */
async function lookUp(
  { context, table, subject }: TableCheck,
  search: MapSearch,
  key: string,
  question: Question,
): Promise<Verdict | undefined> {
  const { services, parameter } = context;
  const found = await services.maps.find(parameter, search, key, table);
  if (found.kind === "missing") return undefined;
  const warning = (text: string) => services.warning?.(text);
  if (found.kind === "retry") {
    warning(`${table}: table lookup problem`);
    return reject(refusal(451, "4.3.5", rejected(subject, question, "Server configuration error")));
  }
  const entry: TableEntry = { table, value: found.value, place: found.place ?? "" };
  const { settings } = services;
  const source = `access table ${table}`;
  return { ...accessVerdict(found.value, { settings, subject, question, source, warning }), entry };
}

/** A check of one key. */
function simple(
  name: string,
  subject: Subject,
  search: MapSearch,
  keyOf: (question: Question, context: ListContext) => string | undefined,
): Row {
  return (context, table) => {
    const check = { context, table, subject, name };
    return async (question) => {
      const key = keyOf(question, context);
      return key === undefined ? DUNNO : await lookUp(check, search, key, question) ?? DUNNO;
    };
  };
}

/** What a stranger could bring about must not let him in. */
function noPermission(verdict: Verdict, { context, name }: TableCheck, target: string): Verdict {
  if (verdict.kind !== "ok") return verdict;
  context.services.warning?.(`restriction ${name} returns OK for ${target}`);
  context.services.warning?.("this is not allowed for security reasons");
  context.services.warning?.("use DUNNO instead of OK if you want to make an exception");
  return { ...fault(), ...(verdict.entry === undefined ? {} : { entry: verdict.entry }) };
}

/** Sender and recipient are sought in the form in which they are delivered. */
async function mailAccess(check: TableCheck, address: string, question: Question): Promise<Verdict> {
  const { services } = check.context;
  const resolved = check.subject === SUBJECT.recipient ? question.resolved : undefined;
  const place = resolved ?? await services.rewrite.resolve("", address);
  if (place.kind === "retry") return reject(lookupFailure(address));
  const verdict = await lookUp(check, "access", place.recipient, question) ?? DUNNO;
  // A recipient that says itself where to go on is never permitted: it would be relayed by its local part.
  return verdict.kind === "ok" && place.routed && !services.settings.allow_untrusted_routing
    ? { kind: "dunno", ...(verdict.entry === undefined ? {} : { entry: verdict.entry }) }
    : verdict;
}

const senderAccess: Row = (context, table) => {
  const check = { context, table, subject: SUBJECT.sender, name: "check_sender_access" };
  return async (question) => {
    if (question.sender === undefined) return DUNNO;
    if (question.sender !== "") return await mailAccess(check, question.sender, question);
    return await lookUp(check, "key", context.services.settings.smtpd_null_access_lookup_key, question) ??
      DUNNO;
  };
};

const recipientAccess: Row = (context, table) => {
  const check = { context, table, subject: SUBJECT.recipient, name: "check_recipient_access" };
  return async ({ recipient, ...rest }) =>
    recipient === undefined ? DUNNO : await mailAccess(check, recipient, { recipient, ...rest });
};

const reverseAccess: Row = (context, table) => {
  const check = {
    context,
    table,
    subject: SUBJECT.reverseClient,
    name: "check_reverse_client_hostname_access",
  };
  return async (question) => {
    const { reverseName, address } = question.peer;
    const verdict = await lookUp(check, "client", `${reverseName} ${address}`, question) ?? DUNNO;
    return noPermission(verdict, check, reverseName);
  };
};

/** Fingerprints of a client's certificate, in the order in which they are sought. */
const certificateAccess: Row = (context, argument) => {
  const { table, order } = certificateSearch(argument);
  const check = { context, table, subject: SUBJECT.certificate, name: "check_ccert_access" };
  return async (question) => {
    const certificate = question.tls?.certificate;
    if (certificate === undefined) return DUNNO;
    for (const key of order) {
      const verdict = await lookUp(check, "key", certificate[CERTIFICATE_KEYS[key]!], question);
      if (verdict !== undefined) return verdict;
    }
    return DUNNO;
  };
};

const CERTIFICATE_KEYS: Readonly<Record<string, "fingerprint" | "keyFingerprint">> = {
  cert_fingerprint: "fingerprint",
  pubkey_fingerprint: "keyFingerprint",
};

/** `type:table` or `{ type:table, { search_order = cert_fingerprint, pubkey_fingerprint } }`. */
function certificateSearch(argument: string): { readonly table: string; readonly order: readonly string[] } {
  const order = Object.keys(CERTIFICATE_KEYS);
  if (!argument.startsWith("{")) return { table: argument, order };
  const [table, ...options] = splitBraced(unbrace(argument));
  const text = options.map((option) => option.text).join(" ");
  const given = splitBlanks(text.slice(text.indexOf("=") + 1), true);
  return {
    table: table?.text ?? "",
    order: options.length > 0 ? given.filter((key) => order.includes(key)) : order,
  };
}

/** The name whose hosts a check is about; undefined when there is none. */
type HostName = (question: Question) => string | undefined;

const known = (name: string) => asciiLower(name) === "unknown" ? undefined : name;
const HOST_NAMES: Readonly<Record<string, readonly [Subject, HostName]>> = {
  check_client: [SUBJECT.client, (q) => known(q.peer.name)],
  check_reverse_client_hostname: [SUBJECT.reverseClient, (q) => known(q.peer.reverseName)],
  check_helo: [SUBJECT.helo, (q) => q.helo || undefined],
  check_sender: [SUBJECT.sender, (q) => q.sender && domainOf(q.sender) || undefined],
  check_recipient: [SUBJECT.recipient, (q) => q.recipient && domainOf(q.recipient) || undefined],
};

/** check_*_{a,mx,ns}_access: the hosts behind a name, and their addresses. */
function hostAccess(start: string, kind: HostKind): Row {
  const [subject, nameOf] = HOST_NAMES[start]!;
  return (context, table) => {
    const check = { context, table, subject, name: `${start}_${asciiLower(kind)}_access` };
    return async (question) => {
      const name = nameOf(question);
      return name === undefined ? DUNNO : await askHosts(check, kind, name, question);
    };
  };
}

async function askHosts(
  check: TableCheck,
  kind: HostKind,
  name: string,
  question: Question,
): Promise<Verdict> {
  const { context, subject } = check;
  const literal = parseAddressLiteral(name)?.bytes ?? parseIpAddress(name);
  if (literal !== undefined) {
    const verdict = await lookUp(check, "client", ` ${formatIpAddress(literal)}`, question);
    return verdict === undefined ? DUNNO : noPermission(verdict, check, name);
  }
  const { dns, settings, warning } = context.services;
  const hosts = await hostsOf(dns, kind, name);
  let trouble = hosts.kind === "retry";
  if (hosts.kind === "retry") warning?.(`Unable to look up ${kind} host for ${name}: ${hosts.why}`);
  let count = 0;
  for (const host of hosts.kind === "found" ? hosts.names : []) {
    const byName = await lookUp(check, "domain", host, question);
    if (byName !== undefined) return noPermission(byName, check, name);
    const addresses = await hostAddresses(dns, host);
    if (addresses.kind === "retry") {
      trouble = true;
      warning?.(`Unable to look up ${kind} host ${host} for ${subject.what} ${name}: ${addresses.why}`);
      continue;
    }
    for (const address of addresses.names) {
      if (++count > ADDRESS_LIMIT) return DUNNO;
      const verdict = await lookUp(check, "client", ` ${address}`, question);
      if (verdict !== undefined) return noPermission(verdict, check, name);
    }
  }
  if (!trouble) return DUNNO;
  // Postfix lets such mail pass: then it is enough to answer no question to escape the table.
  const text = rejected(subject, question, "Unable to look up mail exchanger information");
  return cannotTell(refusal(450, "4.4.3", text), settings.reject_tempfail_action);
}

const HOST_KINDS = ["A", "MX", "NS"] as const satisfies readonly HostKind[];

/** The checks by their names. */
export const ACCESS_ROWS: Readonly<Record<string, Row>> = Object.fromEntries([
  [
    "check_client_access",
    simple("check_client_access", SUBJECT.client, "client", (q) => `${q.peer.name} ${q.peer.address}`),
  ],
  ["check_reverse_client_hostname_access", reverseAccess],
  ["check_ccert_access", certificateAccess],
  ["check_sasl_access", simple("check_sasl_access", SUBJECT.login, "key", (q) => q.sasl?.username)],
  ["check_etrn_access", simple("check_etrn_access", SUBJECT.etrn, "domain", (q) => q.etrnDomain)],
  ["check_helo_access", simple("check_helo_access", SUBJECT.helo, "domain", (q) => q.helo || undefined)],
  ["check_sender_access", senderAccess],
  ["check_recipient_access", recipientAccess],
  ...Object.keys(HOST_NAMES).flatMap((start) =>
    HOST_KINDS.map((kind) => [`${start}_${asciiLower(kind)}_access`, hostAccess(start, kind)] as const)
  ),
]);
