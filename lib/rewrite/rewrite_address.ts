/**
 * Rewriting to the standard form `user@domain`.
 *
 * @module
 */
// Mail
import { isDotString, lastUnquotedAt, quoteLocalpart, unquoteLocalpart } from "../mail/address.ts";
// Rewriting
import type { RewriteSettings } from "./rewrite_settings.ts";

/** The domains that complete an address; empty: it stays incomplete. */
interface RewriteDomains {
  /** Goes behind an address without `@`. */
  readonly origin: string;
  /** Goes behind a domain without a dot. */
  readonly domain: string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const EMPTY = '""';

/** Where the routing characters of an external address are, outside quotes and literals; -1: nowhere. */
interface Routing {
  readonly firstColon: number;
  readonly firstBang: number;
  readonly lastPercent: number;
  readonly lastAt: number;
  /** A dot or a literal behind the last `@`. */
  readonly domainComplete: boolean;
  /** The last character is a dot and stands outside quotes and literals. */
  readonly finalDot: boolean;
}

/** Is told of each step: the parameter that made it, or "source route" and "final dot", which no parameter decides. */
export type RewriteWatch = (rule: string, before: string, after: string) => void;

/** Rewrites addresses as the settings say. */
export class AddressRewriter {
  readonly #settings: RewriteSettings;
  readonly #watch: RewriteWatch | undefined;
  readonly #domains: Readonly<Record<"local" | "remote", RewriteDomains>>;

  constructor(settings: RewriteSettings, watch?: RewriteWatch) {
    this.#watch = watch;
    const remote = settings.remote_header_rewrite_domain;
    this.#settings = settings;
    this.#domains = {
      local: { origin: settings.myorigin, domain: settings.mydomain },
      remote: { origin: remote, domain: remote },
    };
  }

  /**
   * The standard form of an address. Source routes go, `site!user` and `user%site` become `user@site`, missing
   * domains are appended, one dot at the end goes.
   *
   * @param address external form (local part in quotes where it needs them), result too
   */
  rewrite(context: "local" | "remote", address: string): string {
    if (address === "" || address === EMPTY) return address;
    if (address === "@") return EMPTY;
    const domains = this.#domains[context];
    let out = this.#step("source route", address, dropSourceRoute(address));
    let routing = findRouting(out);
    if (routing.lastAt < 0) {
      out = this.#addDomain(context, out, routing);
      routing = findRouting(out);
    }
    if (this.#lacksDot(out, routing, domains.domain)) {
      out = this.#step(completes(context, "append_dot_mydomain"), out, `${out}.${domains.domain}`);
      routing = findRouting(out);
    }
    out = this.#step("final dot", out, dropFinalDot(out, routing));
    return out === address ? address : requote(out);
  }

  #step(rule: string, before: string, after: string): string {
    if (after !== before) this.#watch?.(rule, before, after);
    return after;
  }

  /**
   * Resolves one step of routing inside a local part whose own domain is this host: what `user@site` it stands
   * for, in internal form, or undefined when it is just a user.
   *
   * @param quoted the local part needs quotes: its routing characters count too where the settings say so, as the
   *   next system may drop the quotes and route by them
   */
  unroute(localpart: string, quoted: boolean): string | undefined {
    const { allow_percent_hack, swap_bangpath, resolve_dequoted_address } = this.#settings;
    if (quoted && !resolve_dequoted_address) return undefined;
    const percent = allow_percent_hack ? localpart.lastIndexOf("%") : -1;
    const bang = swap_bangpath ? localpart.indexOf("!") : -1;
    let step: string | undefined;
    if (quoted && localpart.includes("@")) step = localpart;
    else if (bang >= 0 && !(quoted && percent >= 0)) step = swapBang(localpart, bang);
    else if (percent >= 0) step = `${localpart.slice(0, percent)}@${localpart.slice(percent + 1)}`;
    if (step === undefined) return undefined;
    const complete = this.#completeInternal(step);
    this.#watch?.("routing", localpart, complete);
    return complete;
  }

  #addDomain(context: "local" | "remote", address: string, routing: Routing): string {
    const { firstBang: bang, lastPercent: percent } = routing;
    const { origin } = this.#domains[context];
    if (bang >= 0 && this.#settings.swap_bangpath) {
      return this.#step("swap_bangpath", address, swapBang(address, bang));
    }
    if (percent >= 0 && this.#settings.allow_percent_hack) {
      const after = `${address.slice(0, percent)}@${address.slice(percent + 1)}`;
      return this.#step("allow_percent_hack", address, after);
    }
    if (!this.#settings.append_at_myorigin || origin === "") return address;
    return this.#step(completes(context, "append_at_myorigin"), address, `${address}@${origin}`);
  }

  #lacksDot(address: string, routing: Routing, domain: string): boolean {
    return this.#settings.append_dot_mydomain && domain !== "" && !routing.domainComplete &&
      routing.lastAt >= 0 && routing.lastAt < address.length - 1;
  }

  /** Appends the missing rest of a domain in internal form, where the last `@` is always the one that counts. */
  #completeInternal(address: string): string {
    const domain = address.slice(address.lastIndexOf("@") + 1);
    const literal = domain.startsWith("[");
    if (this.#settings.append_dot_mydomain && domain !== "" && !literal && !domain.includes(".")) {
      return `${address}.${this.#settings.mydomain}`;
    }
    return address;
  }
}

/** The parameter that completes addresses: strangers' are completed by their own, or not at all. */
function completes(context: "local" | "remote", parameter: string): string {
  return context === "local" ? parameter : "remote_header_rewrite_domain";
}

/** `site!user` as `user@site`. */
function swapBang(address: string, bang: number): string {
  return `${address.slice(bang + 1)}@${address.slice(0, bang)}`;
}

/** The address with its local part in quotes when it is neither a dot-string nor quoted any more. */
function requote(address: string): string {
  const at = lastUnquotedAt(address);
  const localpart = at < 0 ? address : address.slice(0, at);
  if (isDotString(localpart) || isQuotedString(localpart)) return address;
  return quoteLocalpart(unquoteLocalpart(localpart)) + address.slice(localpart.length);
}

/** True when the text is one quoted string from its first character to its last. */
function isQuotedString(text: string): boolean {
  if (text.charCodeAt(0) !== QUOTE) return false;
  for (let i = 1; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === BACKSLASH) i++;
    else if (unit === QUOTE) return i === text.length - 1;
  }
  return false;
}

/** Without `@a,@b:` in front. */
function dropSourceRoute(address: string): string {
  // RFC 5321 appendix C: a source route is stripped and the address behind its colon used.
  if (!address.startsWith("@")) return address;
  const { firstColon: colon } = findRouting(address);
  return colon < 0 || colon === address.length - 1 ? address : address.slice(colon + 1);
}

/** One dot less at the end; wrong forms (`a@b..`, `a@.`) stay, so that the error names what was typed. */
function dropFinalDot(address: string, routing: Routing): string {
  if (!routing.finalDot || address.length < 2) return address;
  const before = address[address.length - 2]!;
  return before === "." || before === "@" ? address : address.slice(0, -1);
}

/** Finds the routing characters in one pass. */
function findRouting(address: string): Routing {
  let firstColon = -1;
  let firstBang = -1;
  let lastPercent = -1;
  let lastAt = -1;
  let lastDot = -1;
  let lastLiteral = -1;
  let inside: "" | '"' | "[" = "";
  for (let i = 0; i < address.length; i++) {
    const unit = address.charCodeAt(i);
    if (unit === BACKSLASH) {
      i++;
      continue;
    }
    if (inside !== "") {
      if (unit === (inside === "[" ? 0x5d : QUOTE)) inside = "";
      continue;
    }
    if (unit === QUOTE) inside = '"';
    else if (unit === 0x5b) {
      inside = "[";
      lastLiteral = i;
    } else if (unit === 0x40) lastAt = i;
    else if (unit === 0x2e) lastDot = i;
    else if (unit === 0x25) lastPercent = i;
    else if (unit === 0x21 && firstBang < 0) firstBang = i;
    else if (unit === 0x3a && firstColon < 0) firstColon = i;
  }
  const domainComplete = Math.max(lastDot, lastLiteral) > lastAt;
  return {
    firstColon,
    firstBang,
    lastPercent,
    lastAt,
    domainComplete,
    finalDot: lastDot === address.length - 1,
  };
}
