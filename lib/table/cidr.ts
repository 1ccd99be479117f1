/**
 * cidr: tables, as cidr_table(5) describes them: ordered rules `network result`, `!network result` and
 * `if [!]network` ... `endif`. Keys are addresses; anything else matches no rule, negated ones included.
 *
 * @module
 */
// Tables
import { inNetwork, type IpAddress, type IpNetwork, parseIpAddress, parseIpNetwork } from "./ip_network.ts";
import { findSpace, skipSpace, trimSpace } from "./logical_lines.ts";
import { findRule, type Rule, type RuleSyntax } from "./rules.ts";
import { MISSING, type Outcome, type Place, refuse } from "./table.ts";

/** A network, or all addresses outside it. */
interface CidrTest {
  readonly network: IpNetwork;
  readonly negated: boolean;
}

/** One rule of a cidr table. */
export type CidrRule = Rule<CidrTest, string>;

/** How the rules of a cidr table are written. */
export const CIDR_SYNTAX: RuleSyntax<CidrTest, string> = {
  condition: parseTest,
  rule: (text, place) => {
    const start = skipNegation(text);
    const end = findSpace(text, start);
    const result = trimSpace(text.slice(end));
    const test = parseTest(text.slice(0, end), place);
    if (result === "") refuse(place, `no lookup result behind "${text}"`);
    return { test, result };
  },
};

function skipNegation(text: string): number {
  let at = 0;
  while (text[at] === "!") at = skipSpace(text, at + 1);
  return at;
}

function parseTest(text: string, place: Place): CidrTest {
  const start = skipNegation(text);
  const parsed = parseIpNetwork(text.slice(start));
  if (parsed.kind === "bad") refuse(place, parsed.why);
  const marks = text.slice(0, start).split("!").length - 1;
  return { network: parsed.network, negated: marks % 2 === 1 };
}

/** The result for the address that the key stands for. */
export function findCidr(
  rules: readonly CidrRule[],
  key: string,
  hit?: (rule: CidrRule) => void,
): Outcome {
  const address = parseIpAddress(key);
  if (address === undefined) return MISSING;
  const value = findRule(rules, (test) => holds(test, address), hit);
  return value === undefined ? MISSING : { kind: "found", value };
}

/** A network says nothing of the addresses of the other family, negated or not. */
function holds(test: CidrTest, address: IpAddress): boolean {
  return address.length === test.network.address.length && inNetwork(address, test.network) !== test.negated;
}
