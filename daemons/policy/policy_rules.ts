/**
 * What is answered to a request: SPF first, then greylisting, each where it is wanted.
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Tables
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../../lib/table/match_list.ts";
import { parentStyle } from "../../lib/table/parameter_lists.ts";
// Internal protocols
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
// This program
import type { Greylist } from "./policy_greylist.ts";
import type { SERVICE } from "./service.ts";
import type { PolicyRequest } from "./policy_session.ts";
import { checkSpf, type SpfResult, type SpfVerdict } from "./policy_spf.ts";

/** What the rules go by. */
export type PolicySettings = Settings<typeof SERVICE["parameters"][number]>;

/** SPF results that are remembered for the next recipients of a message, and how long, milliseconds. */
const REMEMBERED = 1000;
const REMEMBERED_TIME = 60_000;
/** Longest text of a peer's in an answer, UTF-16 units. */
const SHOWN = 255;

/** What the check of a sender says. */
interface Proof extends SpfVerdict {
  readonly identity: "mailfrom" | "helo";
  readonly domain: string;
}

/** Judges requests. */
export class PolicyRules {
  readonly #settings: PolicySettings;
  readonly #dns: DnsLookup;
  readonly #greylist: Greylist;
  readonly #log: Pick<Logger, "info">;
  readonly #now: () => number;
  readonly #trusted: MatchList;
  readonly #proofs = new Map<string, { readonly until: number; readonly proof: Promise<Proof> }>();

  constructor(
    settings: PolicySettings,
    dns: DnsLookup,
    greylist: Greylist,
    log: Pick<Logger, "info">,
    now: () => number = Date.now,
  ) {
    this.#settings = settings;
    this.#dns = dns;
    this.#greylist = greylist;
    this.#log = log;
    this.#now = now;
    this.#trusted = parseAddressList(settings.policy_exempt_clients, {
      parents: parentStyle("policy_exempt_clients", settings.parent_domain_matches_subdomains),
      name: "policy_exempt_clients",
    });
  }

  /** The action for a request. */
  async judge(request: PolicyRequest): Promise<string> {
    const of = (name: string) => request.get(name) ?? "";
    if (of("protocol_state") !== "RCPT" || of("sasl_username") !== "" || this.#isExempt(request)) {
      return "DUNNO";
    }
    const proof = this.#settings.policy_spf_enable ? await this.#prove(request) : undefined;
    const refusal = proof === undefined ? undefined : this.#refusal(proof, of("client_address"));
    if (refusal !== undefined) return refusal;
    const proven = proof?.result === "pass" && this.#settings.policy_greylist_skip_spf_pass;
    const put = this.#settings.policy_greylist_enable && !proven ? this.#greylisted(request) : undefined;
    if (put !== undefined) return put;
    return proof === undefined ? "DUNNO" : `PREPEND ${this.#header(proof, request)}`;
  }

  #isExempt(request: PolicyRequest): boolean {
    const key = `${request.get("client_name") ?? ""} ${request.get("client_address") ?? ""}`;
    return matchLiteral(this.#trusted, listSubject("address", key)) === "match";
  }

  /** Recipients of one message ask the same of the same sender. */
  #prove(request: PolicyRequest): Promise<Proof> {
    const names = ["client_address", "helo_name", "sender"];
    const key = JSON.stringify(names.map((name) => request.get(name) ?? ""));
    const now = this.#now();
    const known = this.#proofs.get(key);
    if (known !== undefined && known.until > now) return known.proof;
    if (this.#proofs.size >= REMEMBERED) this.#proofs.clear();
    const proof = this.#check(request);
    this.#proofs.set(key, { until: now + REMEMBERED_TIME, proof });
    return proof;
  }

  /** RFC 7208 section 2.3: the HELO name first; where it proves a forgery, the sender does not matter. */
  async #check(request: PolicyRequest): Promise<Proof> {
    const address = request.get("client_address") ?? "";
    const helo = request.get("helo_name") ?? "";
    const sender = request.get("sender") ?? "";
    const question = { address, helo, receiver: this.#settings.myhostname };
    if (this.#settings.policy_spf_check_helo || sender === "") {
      const verdict = await checkSpf({ ...question, sender: "" }, this.#dns);
      const proof: Proof = { ...verdict, identity: "helo", domain: helo };
      if (sender === "" || this.#isRefused(proof.result)) return proof;
    }
    const verdict = await checkSpf({ ...question, sender }, this.#dns);
    return { ...verdict, identity: "mailfrom", domain: sender.slice(sender.lastIndexOf("@") + 1) };
  }

  #isRefused(result: SpfResult): boolean {
    return this.#settings.policy_spf_reject.includes(result);
  }

  #refusal({ result, identity, domain, explanation }: Proof, address: string): string | undefined {
    const about = `SPF ${result} (${identity}) for ${shown(domain)} from ${shown(address)}`;
    if (result === "temperror" && this.#settings.policy_spf_defer_temperror) {
      // RFC 7208 section 8.6 and RFC 7372 section 3.2: a passing error may be answered 451 4.4.3 or 4.7.24.
      return `451 4.7.24 ${about}`;
    }
    if (!this.#isRefused(result)) return undefined;
    // RFC 7372 section 3.2: X.7.23 for a check that failed, X.7.24 for one that could not be made.
    const code = result === "permerror" ? "550 5.7.24" : "550 5.7.23";
    const reason = explanation === "" ? "" : `: ${shown(explanation)}`;
    this.#log.info(`reject: ${about}${reason}`);
    return `${code} ${about}${reason}`;
  }

  /** RFC 7208 section 9.1: the result, a comment, and what it was found for. */
  #header({ result, identity, domain, mechanism }: Proof, request: PolicyRequest): string {
    const address = shown(request.get("client_address") ?? "");
    const pairs: readonly (readonly [string, string])[] = [
      ["receiver", this.#settings.myhostname],
      ["identity", identity],
      ["client-ip", address],
      ["envelope-from", request.get("sender") ?? ""],
      ["helo", request.get("helo_name") ?? ""],
      ...mechanism === "" ? [] : [["mechanism", mechanism] as const],
    ];
    const text = pairs.map(([name, value]) => `${name}=${quoted(value)}`).join("; ");
    return `Received-SPF: ${result} (${comment(domain)}: ${WORDS[result]}) ${text}`;
  }

  #greylisted(request: PolicyRequest): string | undefined {
    const attempt = {
      address: request.get("client_address") ?? "",
      sender: request.get("sender") ?? "",
      recipient: request.get("recipient") ?? "",
    };
    const verdict = this.#greylist.judge(attempt, this.#now());
    const who = `client=${shown(attempt.address)}, from=<${shown(attempt.sender)}> to=<${
      shown(attempt.recipient)
    }>`;
    if (verdict.kind === "wait") {
      const seconds = Math.ceil(verdict.left / 1000);
      this.#log.info(`greylist: wait ${seconds}s: ${who}`);
      return `DEFER_IF_PERMIT 4.7.1 ${this.#settings.policy_greylist_text}, try again in ${seconds} seconds`;
    }
    if (verdict.waited !== undefined) {
      this.#log.info(`greylist: pass after ${Math.round(verdict.waited / 1000)}s: ${who}`);
    }
    return undefined;
  }
}

const WORDS: Readonly<Record<SpfResult, string>> = {
  none: "no SPF record",
  neutral: "nothing is said of this client",
  pass: "permitted sender",
  fail: "not permitted sender",
  softfail: "probably not permitted sender",
  temperror: "DNS cannot tell now",
  permerror: "SPF record has an error",
};

function shown(text: string): string {
  return printable(text, SHOWN);
}

/** RFC 5322 section 3.2.4: a value in quotes, which nothing in it can end. */
function quoted(text: string): string {
  return `"${shown(text).replaceAll("\\", "?").replaceAll('"', "?")}"`;
}

/** RFC 5322 section 3.2.2: in a comment nothing may end it, or open another. */
function comment(text: string): string {
  return shown(text).replaceAll("\\", "?").replaceAll("(", "?").replaceAll(")", "?");
}
