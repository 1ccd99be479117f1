/**
 * Transport and next hop: the class's transport, the sender's, the relay host, transport_maps, relocated_maps.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { asciiLower, equalsIgnoreCase } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Rewriting
import type { AddressClass } from "./rewrite_classes.ts";
import { findValue, type Maps, type RewriteSettings, TableTrouble } from "./rewrite_settings.ts";

/** Where mail goes: a service of master.toml and what it is told. */
export interface Route {
  readonly transport: string;
  readonly nexthop: string;
}

/** The two that say why mail cannot be delivered: their next hop is a text. */
export const ERROR_TRANSPORT = "error";
const RETRY_TRANSPORT = "retry";
/** Longest text of relocated_maps that is shown, UTF-16 units. */
const RELOCATED_TEXT_LIMIT = 300;
/** In a table of routes by sender: as if the table did not hold the sender. */
const DUNNO = "DUNNO";

/** Routes of recipients whose class is known. */
export class Router {
  readonly #settings: RewriteSettings;
  readonly #maps: Maps;
  readonly #log: Logger;

  constructor(settings: RewriteSettings, maps: Maps, log: Logger) {
    this.#settings = settings;
    this.#maps = maps;
    this.#log = log;
  }

  /**
   * The route of a recipient. Throws `TableTrouble`.
   *
   * @param sender internal form; empty for the null address
   * @param recipient internal form, with a valid domain
   */
  async route(kind: AddressClass, sender: string, recipient: string): Promise<Route> {
    const domain = asciiLower(recipient.slice(recipient.lastIndexOf("@") + 1));
    const route = kind === "alias"
      ? { transport: ERROR_TRANSPORT, nexthop: this.#unknownAlias() }
      : await this.#mapped(await this.#classRoute(kind, sender, domain), recipient, domain);
    return await this.#relocated(recipient) ?? route;
  }

  /** What is left in a virtual alias domain after aliasing is unknown. */
  #unknownAlias(): string {
    return "5.1.1 User unknown" +
      (this.#settings.show_user_unknown_table_name ? " in virtual alias table" : "");
  }

  async #classRoute(kind: Exclude<AddressClass, "alias">, sender: string, domain: string): Promise<Route> {
    const { local_transport, virtual_transport, relay_transport } = this.#settings;
    switch (kind) {
      case "local":
        return parametersRoute(local_transport, "local_transport", domain);
      case "virtual":
        return parametersRoute(virtual_transport, "virtual_transport", domain);
      case "relay":
        return parametersRoute(relay_transport, "relay_transport", await this.#relayHost(sender, domain));
      case "default": {
        const { name, value } = await this.#defaultTransport(sender);
        return parametersRoute(value, name, await this.#relayHost(sender, domain));
      }
      default:
        return kind satisfies never;
    }
  }

  async #defaultTransport(sender: string): Promise<{ name: string; value: string }> {
    const name = "sender_dependent_default_transport_maps";
    const nullKey = this.#settings.empty_address_default_transport_maps_lookup_key;
    const found = await this.#findBySender(name, sender, nullKey);
    if (found !== undefined) return { name, value: found };
    return { name: "default_transport", value: this.#settings.default_transport };
  }

  /** The next hop of mail that leaves: the sender's relay host, or ours, or the domain itself. */
  async #relayHost(sender: string, domain: string): Promise<string> {
    const parameter = "sender_dependent_relayhost_maps";
    const nullKey = this.#settings.empty_address_relayhost_maps_lookup_key;
    return await this.#findBySender(parameter, sender, nullKey) ?? (this.#settings.relayhost || domain);
  }

  /** A route by sender, or undefined. */
  async #findBySender(
    parameter: "sender_dependent_default_transport_maps" | "sender_dependent_relayhost_maps",
    sender: string,
    nullKey: string,
  ): Promise<string | undefined> {
    if (this.#settings[parameter].length === 0) return undefined;
    let value = await findValue(this.#maps, parameter, "address", sender === "" ? nullKey : sender);
    if (value === "") {
      this.#log.warning(`${parameter}: ignoring null lookup result for ${printable(sender || nullKey)}`);
      value = DUNNO;
    }
    return value !== undefined && equalsIgnoreCase(value, DUNNO) ? undefined : value;
  }

  /** The route with what transport_maps changes in it. */
  async #mapped(route: Route, recipient: string, domain: string): Promise<Route> {
    if (this.#settings.transport_maps.length === 0) return route;
    const value = await findValue(this.#maps, "transport_maps", "transport", recipient);
    return value === undefined ? route : applyTransportEntry(route, value, domain);
  }

  /** The answer for a recipient who has moved, or undefined. */
  async #relocated(recipient: string): Promise<Route | undefined> {
    if (this.#settings.relocated_maps.length === 0) return undefined;
    const place = await findValue(this.#maps, "relocated_maps", "address", recipient);
    if (place === undefined) return undefined;
    const shown = printable(place, RELOCATED_TEXT_LIMIT);
    const text = this.#settings.relocated_prefix_enable ? `5.1.6 User has moved to ${shown}` : shown;
    return { transport: ERROR_TRANSPORT, nexthop: text };
  }
}

/** Splits `transport:nexthop` at its first colon. */
function splitTransport(value: string): Route {
  const colon = value.indexOf(":");
  if (colon < 0) return { transport: value, nexthop: "" };
  return { transport: value.slice(0, colon), nexthop: value.slice(colon + 1) };
}

/** The route of a parameter such as `local_transport`; its own next hop wins. */
function parametersRoute(value: string, parameter: string, nexthop: string): Route {
  const route = splitTransport(value);
  if (route.transport === "") throw new TableTrouble(`parameter ${parameter}: null transport is not allowed`);
  return { transport: route.transport, nexthop: route.nexthop || nexthop };
}

/**
 * What an entry of transport_maps makes of a route. `:` changes nothing, `:nexthop` the next hop alone,
 * `transport:` goes to the recipient's own domain by that transport, `transport:nexthop` says both.
 */
export function applyTransportEntry(route: Route, value: string, domain: string): Route {
  const entry = splitTransport(value);
  if (entry.transport === "") {
    return entry.nexthop === "" ? route : { transport: route.transport, nexthop: entry.nexthop };
  }
  if (entry.nexthop !== "") return entry;
  const textual = entry.transport === ERROR_TRANSPORT || entry.transport === RETRY_TRANSPORT;
  return { transport: entry.transport, nexthop: textual ? "Address is undeliverable" : domain };
}
