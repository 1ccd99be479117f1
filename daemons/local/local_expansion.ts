/**
 * Finds out what is to be done for one recipient before anything is done: aliases expanded to the end, users looked
 * up. So a table that fails, or a target that cannot be served, defers the mail before somebody got a copy that the
 * next try would repeat. Order of operations: postfix-map section 9.1.
 *
 * @module
 */
// Utility
import { asciiLower, equalsIgnoreCase } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { joinAddress, splitAddress, splitExtension } from "../../lib/mail/address.ts";
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
import { type HelperTask } from "../../lib/server/boot.ts";
// This program
import { type AliasTarget, parseAliasValue } from "./local_alias_value.ts";
import { expandLuserRelay } from "./local_luser.ts";
import { type LocalSettings, type LocalSources } from "./local_settings.ts";
import { parseUser, userMailbox } from "./local_user.ts";

/** Deepest nesting of aliases (Postfix). */
export const ALIAS_DEPTH_LIMIT = 100;
/** Most addresses that one recipient may expand to, those on the way included. */
export const EXPANSION_LIMIT = 100_000;

/** One thing to do for a recipient. Addresses in internal form. */
export type Action =
  | {
    readonly kind: "mailbox";
    readonly address: string;
    readonly deliveredTo: string;
    readonly task: HelperTask;
  }
  /** Submit a new message to this address. */
  | {
    readonly kind: "forward";
    readonly address: string;
    readonly sender: string;
    readonly deliveredTo: string;
    /** True when the sender is the owner of a list: its envelope is its own. */
    readonly owned: boolean;
  }
  /** Settled without delivery: failed, or thrown away as a mail system's own address is. */
  | { readonly kind: "settled"; readonly address: string; readonly outcome: MailboxOutcome };

/** What is to be done for one recipient, and whether it was an alias. */
export interface Expansion {
  readonly actions: readonly Action[];
  readonly isAlias: boolean;
}

/** An address on its way through the aliases. */
interface Node {
  readonly address: string;
  readonly sender: string;
  /** Name of the owner alias that gave the sender, if one did. */
  readonly owner: string | undefined;
  /** The alias that it comes from. */
  readonly from: string | undefined;
  readonly deliveredTo: string;
  readonly level: number;
}

/** The expansion of one recipient. */
export class LocalExpansion {
  readonly #settings: LocalSettings;
  readonly #sources: LocalSources;
  readonly #serviceName: string;
  readonly #probe: boolean;
  readonly #actions: Action[] = [];
  readonly #seen = new Set<string>();
  #addresses = 0;
  #isAlias = false;

  /** @param probe aliases are named, not expanded */
  constructor(settings: LocalSettings, sources: LocalSources, serviceName: string, probe = false) {
    this.#probe = probe;
    this.#settings = settings;
    this.#sources = sources;
    this.#serviceName = serviceName;
  }

  /** Everything that is to be done for a recipient. */
  async run(address: string, sender: string): Promise<Expansion> {
    await this.#recipient({
      address,
      sender,
      owner: undefined,
      from: undefined,
      deliveredTo: address,
      level: 0,
    });
    return { actions: this.#actions, isAlias: this.#isAlias };
  }

  async #recipient(node: Node): Promise<void> {
    const { address, level } = node;
    if (this.#isDuplicate(`recipient ${level} ${address}`)) return;
    const shown = printable(address);
    if (level > ALIAS_DEPTH_LIMIT) {
      return this.#fail(node, "5.4.6", `possible alias database loop for ${shown}`);
    }
    if (this.#sources.wasDeliveredTo(address)) {
      return this.#fail(node, "5.4.6", `mail forwarding loop for ${shown}`);
    }
    const deliveredTo = this.#settings.frozen_delivered_to && level > 0 ? node.deliveredTo : address;
    const localpart = asciiLower(splitAddress(address).localpart);
    const { user, extension, delimiter } = splitExtension(localpart, this.#settings);
    if (user === "") return this.#fail(node, "5.1.3", `null username in "${shown}"`);
    if (await this.#alias({ ...node, deliveredTo }, localpart, "")) return;
    if (extension !== "" && await this.#alias({ ...node, deliveredTo }, user, delimiter + extension)) return;
    // List members get the message anew, with the owner as its sender, so that each has a status of its own.
    if (node.owner !== undefined && !equalsIgnoreCase(node.owner, user)) {
      return this.#forward(node, deliveredTo);
    }
    await this.#user({ ...node, deliveredTo }, localpart, user, extension);
  }

  /** Expands an alias; false when the name is none. */
  async #alias(node: Node, name: string, unmatched: string): Promise<boolean> {
    // An alias that lists its own name means the user of that name.
    if (node.from !== undefined && equalsIgnoreCase(node.from, name)) return false;
    const found = await this.#sources.alias(name);
    if (found.kind === "missing") return false;
    this.#isAlias = true;
    if (found.kind === "retry") {
      this.#fail(node, "4.3.0", `alias database unavailable: ${found.why}`);
      return true;
    }
    if (this.#probe) {
      const outcome = outcomeOf("2.0.0", `aliased to ${printable(found.value)}`);
      this.#actions.push({ kind: "settled", address: node.address, outcome });
      return true;
    }
    const targets = parseAliasValue(found.value);
    if (targets === undefined || targets.length === 0) {
      const why = targets === undefined ? "is too long" : "has no recipient";
      this.#sources.warn(`alias "${printable(name)}" ${why}`);
      this.#fail(node, "4.3.0", `alias database error: value of alias ${why}`);
      return true;
    }
    const owned = await this.#owner(node, name);
    if (owned === undefined) {
      this.#fail(node, "4.3.0", "alias database unavailable");
      return true;
    }
    const propagated = this.#settings.propagate_unmatched_extensions.includes("alias") ? unmatched : "";
    for (const target of targets) {
      await this.#target({ ...owned, from: name, level: node.level + 1 }, target, propagated);
    }
    return true;
  }

  /** The node with the sender that the alias's owner companion asks for; undefined when that cannot be told now. */
  async #owner(node: Node, name: string): Promise<Node | undefined> {
    const { owner_request_special, expand_owner_alias, reset_owner_alias } = this.#settings;
    const unowned = reset_owner_alias ? { ...node, owner: undefined } : node;
    if (!owner_request_special || name.startsWith("owner-")) return unowned;
    const owner = `owner-${name}`;
    const found = await this.#sources.alias(owner);
    if (found.kind === "missing") return unowned;
    if (found.kind === "retry") return undefined;
    const sender = await this.#sources.rewrite(expand_owner_alias ? found.value : owner);
    return sender === undefined ? undefined : { ...node, sender, owner: splitAddress(sender).localpart };
  }

  async #target(node: Node, target: AliasTarget, extension: string): Promise<void> {
    if (++this.#addresses > EXPANSION_LIMIT) {
      if (this.#addresses === EXPANSION_LIMIT + 1) {
        this.#fail(node, "5.4.6", "alias expands to too many addresses");
      }
      return;
    }
    switch (target.kind) {
      case "unsupported":
        this.#sources.warn(
          `alias "${printable(node.from ?? "")}": ${target.what} "${
            printable(target.text)
          }" is not supported by this version`,
        );
        return this.#fail(
          node,
          "4.3.5",
          `mail system configuration error: ${target.what} in alias is not supported`,
        );
      case "bad":
        this.#sources.warn(
          `alias "${printable(node.from ?? "")}": ${target.why}: "${printable(target.text)}"`,
        );
        return this.#fail(node, "4.3.5", `mail system configuration error: ${target.why} in alias`);
      case "address":
        return await this.#address(node, withExtension(target.address, extension));
      default:
        target satisfies never;
    }
  }

  /** An address that an alias or luser_relay gave: one of our own users, or somebody else. */
  async #address(node: Node, address: string): Promise<void> {
    const resolved = await this.#sources.resolve(node.sender, address);
    switch (resolved.kind) {
      case "retry":
        return this.#fail({ ...node, address }, "4.3.0", `address resolver failure: ${resolved.why}`);
      case "bad":
        return this.#fail({ ...node, address }, "5.1.3", "bad recipient address syntax");
      case "resolved": {
        const next = { ...node, address: resolved.recipient };
        if (resolved.transport === this.#serviceName) return await this.#recipient(next);
        return this.#forward(next, node.deliveredTo);
      }
      default:
        resolved satisfies never;
    }
  }

  #forward(node: Node, deliveredTo: string): void {
    const { address, sender, owner } = node;
    if (this.#isDuplicate(`indirect ${sender} ${address}`)) return;
    this.#actions.push({ kind: "forward", address, sender, deliveredTo, owned: owner !== undefined });
  }

  /** A user of this system, or nobody that it knows. */
  async #user(node: Node, localpart: string, user: string, extension: string): Promise<void> {
    if (this.#isDuplicate(`mailbox ${localpart}`)) return;
    const unsupported = firstSet(this.#settings, [
      "mailbox_transport_maps",
      "mailbox_transport",
      "mailbox_command_maps",
      "mailbox_command",
    ]);
    if (unsupported !== undefined) return this.#unsupported(node, unsupported);
    const found = await this.#sources.passwd(user);
    if (found.kind === "retry") return this.#fail(node, "4.0.0", `user lookup error: ${found.why}`);
    if (found.kind === "missing") return await this.#unknown(node, localpart, user, extension);
    const parsed = parseUser(found.value);
    if (parsed === undefined) return this.#fail(node, "4.0.0", "user lookup error: malformed entry");
    const mailbox = userMailbox(parsed, this.#settings);
    if (mailbox.kind === "none") {
      this.#sources.warn(printable(mailbox.why));
      return this.#fail(node, "4.3.5", `mail system configuration error: ${mailbox.why}`);
    }
    const { address, deliveredTo } = node;
    this.#actions.push({ kind: "mailbox", address, deliveredTo, task: mailbox.task });
  }

  async #unknown(node: Node, localpart: string, user: string, extension: string): Promise<void> {
    const unsupported = firstSet(this.#settings, ["fallback_transport_maps", "fallback_transport"]);
    if (unsupported !== undefined) return this.#unsupported(node, unsupported);
    const { luser_relay } = this.#settings;
    if (luser_relay !== "") {
      const relay = expandLuserRelay(this.#settings, { address: node.address, localpart, user, extension });
      if (relay.kind === "bad") {
        this.#sources.warn(`bad luser_relay: ${relay.why}`);
        return this.#fail(node, "4.3.5", "mail system configuration error");
      }
      const canonical = await this.#sources.rewrite(relay.address);
      if (canonical === undefined) return this.#fail(node, "4.3.0", "address resolver failure");
      // Mail for an unknown user that luser_relay sends to the same user goes round for ever.
      if (!equalsIgnoreCase(canonical, node.address)) {
        return await this.#address({ ...node, level: node.level + 1 }, canonical);
      }
    } else if (user === "postmaster" || user === "mailer-daemon") {
      this.#sources.warn(`required alias not found: ${user}`);
      this.#actions.push({
        kind: "settled",
        address: node.address,
        outcome: outcomeOf("2.0.0", "discarded"),
      });
      return;
    }
    this.#fail(node, "5.1.1", `unknown user: "${printable(localpart)}"`);
  }

  #unsupported(node: Node, parameter: string): void {
    this.#sources.warn(`${parameter} is not supported by this version`);
    this.#fail(node, "4.3.5", `mail system configuration error: ${parameter} is not supported`);
  }

  #fail(node: Node, status: string, reason: string): void {
    this.#actions.push({ kind: "settled", address: node.address, outcome: outcomeOf(status, reason) });
  }

  /** True when this was done before in this expansion; remembers as much as duplicate_filter_limit allows. */
  #isDuplicate(what: string): boolean {
    const key = asciiLower(what);
    if (this.#seen.has(key)) return true;
    const limit = this.#settings.duplicate_filter_limit;
    if (limit === 0 || this.#seen.size < limit) this.#seen.add(key);
    return false;
  }
}

function withExtension(address: string, extension: string): string {
  if (extension === "") return address;
  const { localpart, domain } = splitAddress(address);
  return joinAddress(localpart + extension, domain);
}

/** The first of the parameters that has a value. */
function firstSet<K extends keyof LocalSettings>(
  settings: LocalSettings,
  names: readonly K[],
): K | undefined {
  return names.find((name) => (settings[name] as string | readonly string[]).length > 0);
}
