/**
 * permit_mx_backup: mail for domains that name this host among their mail hosts.
 */
// Utility
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../table/match_list.ts";
import { parentStyle } from "../table/parameter_lists.ts";
// Mail
import { domainOf } from "../mail/address.ts";
import { isBracketed } from "../mail/domain.ts";
// Internal protocols
import type { FilteredAnswer } from "../proto/dns_filter.ts";
// Access
import { hostAddresses, isAnswered } from "./host_lookup.ts";
import type { ListContext, Run } from "./list_context.ts";
import { cannotTell, DUNNO, OK, type Question, type Services, type Verdict } from "./policy.ts";
import { refusal } from "./reply.ts";
import { rejected } from "./subject.ts";

/** Most mail hosts of a domain that are looked up. */
const HOST_LIMIT = 50;

/**
 * The restriction.
 *
 * @param isOurs mail for the recipient is ours to take anyway
 */
export function permitMxBackup(context: ListContext, isOurs: (question: Question) => boolean): Run {
  const { services } = context;
  const { settings } = services;
  const networks = parseAddressList(settings.permit_mx_backup_networks, {
    parents: parentStyle("permit_mx_backup_networks", settings.parent_domain_matches_subdomains),
    name: "permit_mx_backup_networks",
  });
  return async (question) => {
    const { recipient, resolved } = question;
    if (recipient === undefined || resolved === undefined) return DUNNO;
    if (isOurs(question)) return OK;
    const domain = domainOf(resolved.recipient);
    if (resolved.routed || domain === "" || isBracketed(domain)) return DUNNO;
    const mx = await services.dns.query(domain, "MX");
    if (!isAnswered(mx)) return unknown(context, question, mx.rcode);
    return await judge(context, question, mx, networks);
  };
}

function unknown({ services, subject }: ListContext, question: Question, why: string): Verdict {
  const text = rejected(subject, question, `Unable to look up mail exchanger information: ${why}`);
  return cannotTell(refusal(450, "4.4.4", text), services.settings.reject_tempfail_action);
}

/** This host is among the mail hosts, and the primary ones are in the networks that we back up. */
async function judge(
  context: ListContext,
  question: Question,
  mx: FilteredAnswer,
  networks: MatchList,
): Promise<Verdict> {
  const hosts = mx.records.filter(({ value }) => value !== "" && value !== ".").slice(0, HOST_LIMIT);
  const primary = Math.min(...hosts.map(({ priority }) => priority));
  let ours = false;
  let backed = hosts.length > 0;
  const anyNetwork = context.services.settings.permit_mx_backup_networks.length === 0;
  for (const { value: host, priority } of hosts) {
    const addresses = await hostAddresses(context.services.dns, host);
    if (addresses.kind === "retry") {
      return unknown(context, question, `Unable to look up host ${host} as mail exchanger: ${addresses.why}`);
    }
    if (await hasOwn(context.services, addresses.names)) ours = true;
    else if (priority === primary && !anyNetwork) {
      backed &&= addresses.names.some((address) =>
        matchLiteral(networks, listSubject("address", `${host} ${address}`)) === "match"
      );
    }
  }
  return ours && backed ? OK : DUNNO;
}

/** True when one of the addresses is this machine's, or a proxy's in front of it: mail for it would be local. */
async function hasOwn({ rewrite }: Services, addresses: readonly string[]): Promise<boolean> {
  for (const address of addresses) {
    const literal = address.includes(":") ? `IPv6:${address}` : address;
    const resolved = await rewrite.resolve("", `postmaster@[${literal}]`);
    if (resolved.kind === "resolved" && resolved.class === "local") return true;
  }
  return false;
}
