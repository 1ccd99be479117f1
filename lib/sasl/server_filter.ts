/**
 * Which of a backend's mechanisms are offered (`smtpd_sasl_security_options`, `smtpd_sasl_mechanism_filter`).
 *
 * @module
 */
// Utility
import { equalsIgnoreCase } from "../vstring/ascii.ts";
// SASL
import type { Mechanism, MechanismProperty } from "./server_exchange.ts";

/** What an option demands that a mechanism has not, or has. */
const OPTIONS: ReadonlyMap<string, readonly [property: MechanismProperty, wanted: boolean]> = new Map([
  ["noplaintext", ["plaintext", false]],
  ["noactive", ["active", false]],
  ["nodictionary", ["dictionary", false]],
  ["noanonymous", ["anonymous", false]],
  ["forward_secrecy", ["forward-secrecy", true]],
  ["mutual_auth", ["mutual-auth", true]],
]);

/** The mechanisms that all options and the filter let pass, in the backend's order. */
export function offeredMechanisms(
  mechanisms: readonly Mechanism[],
  options: readonly string[],
  filter: readonly string[],
): Mechanism[] {
  const rules = options.map((option) => OPTIONS.get(option)).filter((rule) => rule !== undefined);
  return mechanisms.filter(({ name, properties }) =>
    rules.every(([property, wanted]) => properties.has(property) === wanted) && passes(name, filter)
  );
}

/** The first item that fits decides: a name, `static:` for all, each with `!` for the contrary. */
function passes(name: string, filter: readonly string[]): boolean {
  for (const item of filter) {
    const pattern = item.startsWith("!") ? item.slice(1) : item;
    if (pattern.startsWith("static:") || equalsIgnoreCase(pattern, name)) return pattern === item;
  }
  return false;
}
