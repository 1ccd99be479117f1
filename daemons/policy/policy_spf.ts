/**
 * check_host() of RFC 7208: whether a domain lets a client send its mail, with the limits on what a record may have us look
 * up.
 */
// Utility
import { asciiLower, equalsIgnoreCase } from "../../lib/vstring/ascii.ts";
import { parseIpAddress } from "../../lib/vstring/ip_address.ts";
// Tables
import { inNetwork, maskAddress, parseIpAddress as parseClient } from "../../lib/table/ip_network.ts";
// Internal protocols
import type { DnsAnswer, DnsLookup, DnsQueryType } from "../../lib/proto/dns_client.ts";
// This program
import { expandMacros, type MacroFacts, parseMacros } from "./policy_spf_macro.ts";
import { type DomainSpec, isSpfRecord, type Mechanism, parseSpfRecord } from "./policy_spf_record.ts";

/** Results, in RFC 7208's words. */
export type SpfResult = "none" | "neutral" | "pass" | "fail" | "softfail" | "temperror" | "permerror";

/** Whom to ask about. */
export interface SpfQuestion {
  /** The client's literal address. */
  readonly address: string;
  readonly helo: string;
  /** Envelope sender; empty: the HELO name is checked, as postmaster@helo. */
  readonly sender: string;
  /** Our own name. */
  readonly receiver: string;
}

/** What came of it. */
export interface SpfVerdict {
  readonly result: SpfResult;
  /** The mechanism that matched, as it stands in the record; empty: none did. */
  readonly mechanism: string;
  /** What the domain says about a refusal; empty: nothing. */
  readonly explanation: string;
}

/** RFC 7208 section 4.6.4: most terms that look something up, most look-ups that find nothing, most names of MX and PTR. */
const TERM_LIMIT = 10;
const VOID_LIMIT = 2;
const NAME_LIMIT = 10;
/** RFC 7208 section 4.6.4: most time for one check, milliseconds. */
const TIME_LIMIT = 20_000;
/** Longest domain name, and longest label (RFC 1035 section 2.3.4). */
const DOMAIN_LIMIT = 253;
const LABEL_LIMIT = 63;
/** Longest explanation, UTF-16 units. */
const EXPLANATION_LIMIT = 400;

/** Ends a check with an error. */
class SpfError extends Error {
  readonly result: "temperror" | "permerror";
  constructor(result: "temperror" | "permerror", why: string) {
    super(why);
    this.result = result;
  }
}

/** What one record says, and whose explanation counts. */
interface Outcome {
  readonly result: SpfResult;
  readonly mechanism: string;
  readonly explanation?: { readonly spec: DomainSpec; readonly domain: string };
}

/** Asks whether the client may send for the sender. */
export async function checkSpf(question: SpfQuestion, dns: DnsLookup): Promise<SpfVerdict> {
  // RFC 7208 section 5: an IPv4 address in IPv6 form is an IPv4 address.
  const address = parseClient(question.address);
  if (address === undefined) return { result: "none", mechanism: "", explanation: "" };
  return await new SpfCheck(question, address, dns).run();
}

class SpfCheck {
  readonly #address: Uint8Array;
  readonly #helo: string;
  readonly #sender: string;
  readonly #receiver: string;
  readonly #dns: DnsLookup;
  readonly #end = performance.now() + TIME_LIMIT;
  #terms = 0;
  #voids = 0;
  #names: Promise<string[]> | undefined;

  constructor({ helo, sender, receiver }: SpfQuestion, address: Uint8Array, dns: DnsLookup) {
    this.#address = address;
    this.#helo = helo;
    const at = sender.lastIndexOf("@");
    // RFC 7208 section 2.4 and 4.3: without a sender, and without a local part, it is postmaster.
    const whole = sender === "" ? `postmaster@${helo}` : at < 0 ? `postmaster@${sender}` : sender;
    this.#sender = at === 0 ? `postmaster${sender}` : whole;
    this.#receiver = receiver;
    this.#dns = dns;
  }

  async run(): Promise<SpfVerdict> {
    const domain = this.#sender.slice(this.#sender.lastIndexOf("@") + 1);
    try {
      const { result, mechanism, explanation } = await this.#host(domain);
      const told = result === "fail" && explanation !== undefined
        ? await this.#explain(explanation.spec, explanation.domain)
        : "";
      return { result, mechanism, explanation: told };
    } catch (error) {
      if (!(error instanceof SpfError)) throw error;
      return { result: error.result, mechanism: "", explanation: "" };
    }
  }

  async #host(name: string): Promise<Outcome> {
    const domain = name.endsWith(".") ? name.slice(0, -1) : name;
    if (!isDomain(domain) || !domain.includes(".")) return { result: "none", mechanism: "" };
    const texts = (await this.#texts(domain)).filter(isSpfRecord);
    if (texts.length === 0) return { result: "none", mechanism: "" };
    // RFC 7208 section 4.5: more than one record is an error.
    const record = texts.length > 1 ? undefined : parseSpfRecord(texts[0]!);
    if (record === undefined) throw new SpfError("permerror", "record has an error");
    for (const mechanism of record.mechanisms) {
      if (!await this.#matches(mechanism, domain)) continue;
      const spec = record.explanation;
      return {
        result: mechanism.qualifier,
        mechanism: mechanism.text,
        ...(spec === undefined ? {} : { explanation: { spec, domain } }),
      };
    }
    if (record.redirect === undefined) return { result: "neutral", mechanism: "" };
    this.#count();
    const outcome = await this.#host(await this.#target(record.redirect, domain));
    // RFC 7208 section 6.1: a redirection to nothing is an error.
    if (outcome.result === "none") throw new SpfError("permerror", "redirect leads to no record");
    return outcome;
  }

  async #matches(mechanism: Mechanism, domain: string): Promise<boolean> {
    const { kind, address } = mechanism;
    if (kind === "all") return true;
    if (kind === "ip4" || kind === "ip6") return this.#isIn(address!, mechanism);
    this.#count();
    const target = mechanism.domain === undefined ? domain : await this.#target(mechanism.domain, domain);
    switch (kind) {
      case "include":
        return await this.#includes(target);
      case "exists":
        return (await this.#query(target, "A")).length > 0;
      case "a":
        return await this.#hasAddress(target, mechanism);
      case "mx":
        return await this.#hasExchanger(target, mechanism);
      case "ptr":
        return (await this.#clientNames()).some((name) => isBelow(name, target));
    }
  }

  /** RFC 7208 section 5.2: the table of what an included record's result means here. */
  async #includes(target: string): Promise<boolean> {
    const { result } = await this.#host(target);
    if (result === "none") throw new SpfError("permerror", "include leads to no record");
    return result === "pass";
  }

  async #hasAddress(name: string, mechanism: Mechanism): Promise<boolean> {
    const found = await this.#query(name, this.#type);
    return found.some((text) => {
      const address = parseIpAddress(text);
      return address !== undefined && this.#isIn(address, mechanism);
    });
  }

  async #hasExchanger(name: string, mechanism: Mechanism): Promise<boolean> {
    const names = await this.#query(name, "MX");
    // RFC 7208 section 4.6.4: more than ten MX names are an error.
    if (names.length > NAME_LIMIT) throw new SpfError("permerror", "too many MX records");
    for (const host of names) {
      if (host !== "" && host !== "." && await this.#hasAddress(host, mechanism)) return true;
    }
    return false;
  }

  /** The client's names that its address proves; trouble makes none of them. */
  #clientNames(): Promise<string[]> {
    return this.#names ??= this.#proveNames();
  }

  async #proveNames(): Promise<string[]> {
    const proven: string[] = [];
    let names: readonly string[] = [];
    try {
      names = await this.#query(reverseName(this.#address), "PTR");
    } catch (error) {
      if (!(error instanceof SpfError) || error.result === "permerror") throw error;
    }
    // RFC 7208 section 4.6.4: of more than ten names the others are ignored.
    for (const name of names.slice(0, NAME_LIMIT)) {
      try {
        const found = values(await this.#ask(name, this.#type));
        const own = found.some((text) => {
          const address = parseIpAddress(text);
          return address !== undefined && isEqual(address, this.#address);
        });
        if (own) proven.push(name.endsWith(".") ? name.slice(0, -1) : name);
      } catch (error) {
        if (!(error instanceof SpfError) || error.result === "permerror") throw error;
      }
    }
    return proven;
  }

  get #type(): "A" | "AAAA" {
    return this.#address.length === 4 ? "A" : "AAAA";
  }

  #isIn(address: Uint8Array, { bits4, bits6 }: Mechanism): boolean {
    if (address.length !== this.#address.length) return false;
    const bits = address.length === 4 ? bits4 : bits6;
    return inNetwork(this.#address, { address: maskAddress(address, bits), bits });
  }

  /** A term that looks something up. */
  #count(): void {
    if (++this.#terms > TERM_LIMIT) throw new SpfError("permerror", "too many terms that look something up");
  }

  /** The domain that a term is about. Longer than a name can be, it loses labels on the left (RFC 7208 section 7.3). */
  async #target(spec: DomainSpec, domain: string): Promise<string> {
    let name = await expandMacros(spec, this.#facts(domain));
    if (name.endsWith(".")) name = name.slice(0, -1);
    while (name.length > DOMAIN_LIMIT && name.includes(".")) name = name.slice(name.indexOf(".") + 1);
    return name;
  }

  #facts(domain: string): MacroFacts {
    return {
      sender: this.#sender,
      domain,
      address: this.#address,
      helo: this.#helo,
      receiver: this.#receiver,
      time: Math.floor(Date.now() / 1000),
      clientName: async () => {
        const names = await this.#clientNames();
        // RFC 7208 section 7.3: the domain itself, then a name below it, then any.
        return names.find((name) => equalsIgnoreCase(name, domain)) ??
          names.find((name) => isBelow(name, domain)) ?? names[0] ?? "unknown";
      },
    };
  }

  /** RFC 7208 section 6.2: whatever is wrong with an explanation, there is none. */
  async #explain(spec: DomainSpec, domain: string): Promise<string> {
    try {
      const texts = await this.#texts(await this.#target(spec, domain));
      const pieces = texts.length === 1 ? parseMacros(texts[0]!, true) : undefined;
      if (pieces === undefined) return "";
      return (await expandMacros(pieces, this.#facts(domain))).slice(0, EXPLANATION_LIMIT);
    } catch (error) {
      if (!(error instanceof SpfError)) throw error;
      return "";
    }
  }

  async #texts(name: string): Promise<readonly string[]> {
    return values(await this.#ask(name, "TXT"));
  }

  /** What a name has; too many that have nothing are an error (RFC 7208 section 4.6.4). */
  async #query(name: string, type: DnsQueryType): Promise<readonly string[]> {
    const found = values(await this.#ask(name, type));
    if (found.length === 0 && ++this.#voids > VOID_LIMIT) {
      throw new SpfError("permerror", "too many look-ups that find nothing");
    }
    return found;
  }

  async #ask(name: string, type: DnsQueryType): Promise<DnsAnswer | undefined> {
    if (!isDomain(name)) return undefined;
    if (performance.now() > this.#end) throw new SpfError("temperror", "it takes too long");
    const answer = await this.#dns.query(name, type);
    if (answer.rcode === "nxdomain") return undefined;
    if (answer.rcode !== "ok") throw new SpfError("temperror", `look-up of ${type} failed`);
    return answer;
  }
}

function values(answer: DnsAnswer | undefined): readonly string[] {
  return answer?.records.map(({ value }) => value) ?? [];
}

/** Labels of at most 63 bytes, none empty. */
function isDomain(name: string): boolean {
  return name !== "" && name.length <= DOMAIN_LIMIT &&
    name.split(".").every((label) => label !== "" && label.length <= LABEL_LIMIT);
}

/** The name is the domain, or in it. */
function isBelow(name: string, domain: string): boolean {
  const [low, high] = [asciiLower(name), asciiLower(domain)];
  return low === high || low.endsWith(`.${high}`);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The name under which an address's names stand (RFC 1035 section 3.5, RFC 3596 section 2.5). */
function reverseName(address: Uint8Array): string {
  if (address.length === 4) return `${[...address].reverse().join(".")}.in-addr.arpa`;
  const digits = Array.from(address, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${[...digits].reverse().join(".")}.ip6.arpa`;
}
