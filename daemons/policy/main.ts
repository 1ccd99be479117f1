/**
 * policy - answers smtpd's questions about clients: SPF and greylisting
 *
 * Description: a policy server of Postfix's protocol. It is asked where a restriction list has `check_policy_service
 * unix:private/policy`, for each recipient; to all other questions, for clients in policy_exempt_clients and for who has
 * logged in it answers DUNNO.
 *
 * - SPF (policy_spf_enable): the HELO name's domain and the sender's are asked who may send for them. What
 *   policy_spf_reject names is refused with 550 5.7.23 (5.7.24 for records with errors), trouble of the DNS deferred where
 *   policy_spf_defer_temperror says so; all else gets a Received-SPF header.
 * - Greylisting (policy_greylist_enable): the first attempt of a network with a sender and a recipient is deferred for
 *   policy_greylist_delay. Who comes again within policy_greylist_retry_window is remembered for policy_greylist_max_age,
 *   and a network that has done so policy_greylist_auto_allow_clients times is deferred no more.
 *
 * Security: reads what clients say to smtpd (addresses and names, hostile) and what the DNS says (hostile). Reaches the
 * dns daemon and its own directory, and nothing else. Of an SPF record at most 10 terms look something up, at most 2
 * look-ups may find nothing, and a check ends after 20 seconds. Must never be trusted with content: it sees none.
 *
 * Standards: RFC 7208 (SPF), RFC 7372 (status codes), RFC 6647 (greylisting).
 *
 * Diagnostics: a line for each refusal, for each attempt that is put off, and for each that has waited. Warnings:
 * requests that are none; a state that cannot be written, which costs what was learned and nothing else.
 *
 * Parameters: policy_exempt_clients, policy_greylist_auto_allow_clients, policy_greylist_delay, policy_greylist_enable,
 * policy_greylist_ipv4_prefix_length, policy_greylist_ipv6_prefix_length, policy_greylist_max_age,
 * policy_greylist_retry_window, policy_greylist_skip_spf_pass, policy_greylist_text, policy_spf_check_helo,
 * policy_spf_defer_temperror, policy_spf_enable, policy_spf_reject.
 *
 * Known limits: at most 200,000 triplets and networks are remembered, the least recently seen go first. A kill loses what
 * was learned in the last second. No DMARC: that is a milter's business.
 *
 * @module
 */
// Tables
import { StateJournal } from "../../lib/table/state_journal.ts";
// Internal protocols
import { DnsClient } from "../../lib/proto/dns_client.ts";
import { DNS } from "../../lib/proto/protocols.ts";
// Server skeleton
import { runStreamDaemon } from "../../lib/server/daemon.ts";
// This program
import { formatSeen, Greylist, parseSeen, type Seen } from "./policy_greylist.ts";
import { PolicyRules } from "./policy_rules.ts";
import { PolicySession } from "./policy_session.ts";
import { SERVICE } from "./service.ts";

/** Connections at once. */
const SESSION_LIMIT = 1000;
/** How often what was learned is written, and how often old entries are looked for, seconds. */
const WRITE_INTERVAL = 1;
const CLEAN_INTERVAL = 600;

await runStreamDaemon(SERVICE, (context) => {
  const { settings, log } = context;
  const format = { format: formatSeen, parse: parseSeen };
  const journal = new StateJournal<Seen>(`${settings.queue_directory}/policy/greylist`, format, log);
  const greylist = new Greylist({
    delay: settings.policy_greylist_delay * 1000,
    window: settings.policy_greylist_retry_window * 1000,
    maxAge: settings.policy_greylist_max_age * 1000,
    autoAllow: settings.policy_greylist_auto_allow_clients,
    bits4: settings.policy_greylist_ipv4_prefix_length,
    bits6: settings.policy_greylist_ipv6_prefix_length,
  }, (key, seen) => journal.note(key, seen));
  journal.read((key, seen) => greylist.load(key, seen));
  const write = () => journal.write(() => greylist.entries());
  context.every(WRITE_INTERVAL, write);
  context.every(CLEAN_INTERVAL, () => greylist.clean(Date.now()));
  context.onRetire(write);
  context.onEnd(write);
  const rules = new PolicyRules(settings, new DnsClient(context.client(DNS, "dns")), greylist, log);
  return {
    sessionLimit: SESSION_LIMIT,
    session: (channel, done) => {
      const judge = (request: ReadonlyMap<string, string>) => rules.judge(request);
      new PolicySession(channel, judge, log, (error) => context.trouble("policy request", error), done);
    },
  };
});
