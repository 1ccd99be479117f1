/**
 * What REQUIRETLS demands of a destination (RFC 8689; smtp_requiretls_policy, postfix-map section 6.13): of the policy
 * that the configuration has for the host, of its certificate, and of the server itself.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
import type { Settings } from "../config/parameters.ts";
// Tables
import { openOwnTable } from "../table/own_table.ts";
import { domainSearch, type SearchOutcome } from "../table/search.ts";
import { isTableSpec } from "../table/spec.ts";
import { describeProblem } from "../table/table.ts";
// Mail
import { toAsciiName } from "../mail/domain.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";
// This program
import type { Destination } from "./client_destination.ts";
import { type Failure, localFailure } from "./client_failure.ts";
import type { Dialect } from "./client_policy.ts";
import type { HostLevel, HostTls } from "./client_tls_policy.ts";

/** What a policy may say, the mildest first. */
export const REQUIRETLS_LEVELS = ["disable", "opportunistic", "opportunistic+starttls", "enforce"] as const;
/** How much is demanded of servers for a message whose sender asked for REQUIRETLS. */
export type RequireTlsLevel = (typeof REQUIRETLS_LEVELS)[number];

/** The parameter of a program. */
export type RequireTlsSettings<D extends Dialect> = Settings<`${D}_requiretls_policy`>;

/** What was found for a destination. */
export type RequireTlsFinding =
  | { readonly kind: "level"; readonly level: RequireTlsLevel }
  | { readonly kind: "invalid"; readonly why: string };

/** What an item of the list has for a host. */
type Item = (name: string) => SearchOutcome | Promise<SearchOutcome>;

/** Levels of TLS at which a certificate proves the host that the destination's owner named. */
const PROVING: ReadonlySet<HostLevel> = new Set(["fingerprint", "verify", "secure", "dane", "dane-only"]);

/** The policy of one program. */
export class RequireTlsPolicy {
  readonly #parameter: string;
  readonly #items: readonly Item[];
  readonly #myHostName: string;

  private constructor(parameter: string, items: readonly Item[], myHostName: string) {
    this.#parameter = parameter;
    this.#items = items;
    this.#myHostName = myHostName;
  }

  /**
   * The policy of the settings. Tables whose content stands in the configuration are opened here, any other is asked for
   * through proxymap.
   *
   * @param maps makes the client of proxymap; called where there is such a table
   * @throws TableError
   */
  static from<D extends Dialect>(
    dialect: D,
    settings: RequireTlsSettings<D>,
    myHostName: string,
    maps: () => MapLookup,
    warn: (text: string) => void,
  ): RequireTlsPolicy {
    const parameter = `${dialect}_requiretls_policy`;
    const values = settings as unknown as Readonly<Record<string, readonly string[]>>;
    let client: MapLookup | undefined;
    const items = values[parameter]!.map((item): Item => {
      if (!isTableSpec(item)) return () => ({ kind: "found", value: item, extension: "" });
      const own = openOwnTable(item, (problem) => warn(describeProblem(problem)));
      if (own !== undefined) return (name) => domainSearch([own], name, "dotted");
      client ??= maps();
      return (name) => client!.find(parameter, "domain", name, item);
    });
    return new RequireTlsPolicy(parameter, items, myHostName);
  }

  /** What is demanded of a destination: what the first item says that has it. */
  async of(destination: Destination): Promise<RequireTlsFinding> {
    const host = destination.kind === "inet" ? destination.host : this.#myHostName;
    const name = toAsciiName(host) ?? host;
    for (const item of this.#items) {
      const found = await item(name);
      if (found.kind === "missing") continue;
      if (found.kind === "retry") return this.#invalid(found.why);
      const level = REQUIRETLS_LEVELS.find((one) => one === found.value);
      if (level !== undefined) return { kind: "level", level };
      return this.#invalid(`"${found.value}" for ${name} is no level`);
    }
    return { kind: "level", level: "enforce" };
  }

  #invalid(why: string): RequireTlsFinding {
    return { kind: "invalid", why: `${this.#parameter}: ${printable(why)}` };
  }
}

/** True where a server that speaks no TLS gets nothing. */
export function demandsTls(level: RequireTlsLevel | undefined): boolean {
  return level === "enforce" || level === "opportunistic+starttls";
}

/** Why a host's TLS policy cannot do what REQUIRETLS demands. */
export type PolicyGap = "noencryption" | "nocertmatch";

/** The gap between a host's TLS policy and REQUIRETLS; undefined where there is none. */
export function policyGap(
  { level }: HostTls,
  requireTls: RequireTlsLevel | undefined,
): PolicyGap | undefined {
  if (demandsTls(requireTls) && level === "none") return "noencryption";
  return requireTls === "enforce" && !PROVING.has(level) ? "nocertmatch" : undefined;
}

/**
 * The failure of a host that is not good enough. Another host may be; where none is, the mail goes back: its sender must
 * not believe that it is under way.
 *
 * @param status 5.7.10 (encryption needed) for what TLS does not give, 5.7.30 (RFC 8689 section 7) for what the server
 * does not offer
 */
export function requireTlsFailure(status: "5.7.10" | "5.7.30", text: string, remoteMta: string): Failure {
  return { ...localFailure("message", false, status, text, remoteMta), elsewhere: true };
}
