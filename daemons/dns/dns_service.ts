/**
 * One lookup for one client.
 *
 * @module
 */
import type { Answer } from "../../lib/dns/answer.ts";
import type { QueryType } from "../../lib/dns/message.ts";

/** What answers lookups: the resolver, or a table in a test. */
export interface Lookup {
  query(name: string, type: QueryType): Promise<Answer>;
}

/** The parts of an exchange and its request that this service uses. */
export interface LookupExchange {
  reply(type: "answer", fields: Answer): void;
}

/** Makes the handler that serves the dns protocol from `lookup`. */
export function dnsHandler(
  lookup: Lookup,
): (exchange: LookupExchange, message: { readonly name: string; readonly type: QueryType }) => Promise<void> {
  return async (exchange, message) =>
    exchange.reply("answer", await lookup.query(message.name, message.type));
}
