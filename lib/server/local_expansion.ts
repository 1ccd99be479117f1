/**
 * Finds out what is to be done for one recipient before anything is done: aliases, .forward files and lists expanded to
 * the end, users looked up. So a table that fails, or a target that cannot be served, defers the mail before somebody
 * got a copy that the next try would repeat. Order of operations: postfix-map section 9.1.
 *
 * @module
 */
// Safe primitives
import { withoutSlashes } from "../safe/path.ts";
// Utility
import { asciiLower, equalsIgnoreCase } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { joinAddress, splitAddress } from "../mail/address.ts";
import { outcomeOf } from "../mail/mailbox_outcome.ts";
// Server skeleton
import { isPlainPath, localRecipient } from "./local_names.ts";
import { type LocalTarget, parseTargets } from "./local_target.ts";
import { forwardLines, includeLines, type TargetLine } from "./local_file.ts";
import { ownerOfAlias } from "./local_owner.ts";
import { toMailbox, toMailboxTransport, toUnknown } from "./local_mailbox.ts";
import { type ExpansionSettings, type LocalSources } from "./local_sources.ts";
import { type Action, type ExpansionEvent, ExpansionState, type Node } from "./local_state.ts";
import { parseUser } from "./local_user.ts";

/** Deepest nesting of aliases, .forward files and lists (Postfix). */
export const ALIAS_DEPTH_LIMIT = 100;
/** Most targets that one recipient may expand to, those on the way included. */
export const EXPANSION_LIMIT = 100_000;

/** The one file that takes everything and keeps nothing. */
export const NOWHERE = "/dev/null";
const SYSTEM_FILES = ["/dev/", "/proc/", "/sys/"];

const LOOP = outcomeOf("5.4.6", "mail forwarding loop: lists that name one another and nobody else");
const NOBODY = { deliveredTo: "", owned: false, lines: [] };

/** What is to be done for one recipient, and whether it was an alias. */
export interface Expansion {
  readonly actions: readonly Action[];
  readonly isAlias: boolean;
}

/** The expansion of one recipient. */
export class LocalExpansion {
  readonly #state: ExpansionState;
  readonly #serviceName: string;
  /** A list was come to again. */
  #loops = false;

  /**
   * @param probe aliases and .forward files are named, not expanded
   * @param watch is told of each step
   */
  constructor(
    settings: ExpansionSettings,
    sources: LocalSources,
    serviceName: string,
    probe = false,
    watch?: (event: ExpansionEvent) => void,
  ) {
    this.#state = new ExpansionState(settings, sources, probe, watch);
    this.#serviceName = serviceName;
  }

  /** Everything that is to be done for a recipient. */
  async run(address: string, sender: string): Promise<Expansion> {
    await this.#recipient({
      address,
      recipient: localRecipient(address, "", this.#state.settings),
      sender,
      owner: undefined,
      owned: false,
      from: undefined,
      deliveredTo: address,
      level: 0,
      expander: "alias",
      author: undefined,
      user: undefined,
      lines: [],
      unmatched: "",
    });
    const { actions, isAlias } = this.#state;
    // Whoever wrote is not to wait for an answer from nobody; a list that is empty on purpose is like any other.
    if (actions.length === 0 && this.#loops) {
      return { actions: [{ ...NOBODY, address, sender, kind: "settled", outcome: LOOP }], isAlias };
    }
    return { actions, isAlias };
  }

  async #recipient(given: Node): Promise<void> {
    const state = this.#state;
    const { settings } = state;
    const { address, level } = given;
    if (state.isDuplicate(`recipient ${level} ${address}`)) return;
    const shown = printable(address);
    if (level > ALIAS_DEPTH_LIMIT) {
      return state.fail(given, "5.4.6", `possible alias database loop for ${shown}`);
    }
    if (state.sources.wasDeliveredTo(address)) {
      const outcome = outcomeOf("5.4.6", `mail forwarding loop for ${shown}`);
      return state.act(given, { kind: "settled", outcome, toOwner: true });
    }
    const deliveredTo = settings.frozen_delivered_to && level > 0 ? given.deliveredTo : address;
    const localpart = asciiLower(splitAddress(address).localpart);
    const recipient = localRecipient(address, localpart, settings);
    const node = { ...given, deliveredTo, recipient };
    const { user, extension, delimiter } = recipient;
    if (user === "") return state.fail(node, "5.1.3", `null username in "${shown}"`);
    if (await this.#alias(node, localpart, "")) return;
    if (extension !== "" && await this.#alias(node, user, delimiter + extension)) return;
    // List members get the message anew, with the owner as its sender, so that each has a status of its own; so does
    // another user to whom a user forwards.
    if (node.owner !== undefined && !equalsIgnoreCase(node.owner, user)) return this.#forward(node);
    await this.#user(node);
  }

  /** Expands an alias; false when the name is none. */
  async #alias(node: Node, name: string, unmatched: string): Promise<boolean> {
    const state = this.#state;
    // An alias that lists its own name means the user of that name.
    if (node.from !== undefined && equalsIgnoreCase(node.from, name)) return false;
    const found = await state.sources.alias(name);
    if (found.kind === "missing") return false;
    state.isAlias = true;
    if (found.kind === "retry") {
      state.fail(node, "4.3.0", `alias database unavailable: ${found.why}`);
      return true;
    }
    if (state.probe) {
      state.settle(node, outcomeOf("2.0.0", `aliased to ${printable(found.value)}`));
      return true;
    }
    state.note(node, { kind: "alias", name, value: found.value });
    const targets = parseTargets(found.value);
    if (targets === undefined || targets.length === 0) {
      const why = targets === undefined ? "is too long" : "has no recipient";
      state.sources.warn(`alias "${printable(name)}" ${why}`);
      state.fail(node, "4.3.0", `alias database error: value of alias ${why}`);
      return true;
    }
    const owned = await this.#owner(node, name);
    if (owned === undefined) {
      state.fail(node, "4.3.0", "alias database unavailable");
      return true;
    }
    const propagates = state.settings.propagate_unmatched_extensions.includes("alias");
    const author = { kind: "alias", name } as const;
    await this.#targets(
      // Whoever named the alias has no part in what it does.
      {
        ...owned,
        from: name,
        expander: "alias",
        author,
        user: undefined,
        unmatched: propagates ? unmatched : "",
      },
      targets,
    );
    return true;
  }

  /** The node with the sender that the alias's owner companion asks for; undefined when that cannot be told now. */
  async #owner(node: Node, name: string): Promise<Node | undefined> {
    const { sources, settings } = this.#state;
    const owner = await ownerOfAlias(name, settings, sources);
    switch (owner.kind) {
      case "none":
        return settings.reset_owner_alias ? { ...node, owner: undefined } : node;
      case "retry":
        return undefined;
      case "owner":
        return { ...node, sender: owner.address, owned: true, owner: splitAddress(owner.address).localpart };
      default:
        owner satisfies never;
    }
  }

  async #targets(node: Node, targets: readonly LocalTarget[]): Promise<void> {
    for (const target of targets) await this.#target({ ...node, level: node.level + 1 }, target);
  }

  async #lines(lines: readonly TargetLine[]): Promise<void> {
    for (const { node, targets } of lines) await this.#targets(node, targets);
  }

  async #target(node: Node, target: LocalTarget): Promise<void> {
    const state = this.#state;
    if (++state.addresses > EXPANSION_LIMIT) {
      if (state.addresses === EXPANSION_LIMIT + 1) {
        state.fail(node, "5.4.6", "alias expands to too many addresses");
      }
      return;
    }
    switch (target.kind) {
      case "file":
        return this.#file(node, target.path);
      case "command":
        return this.#command(node, target.command);
      case "include":
        return await this.#include(node, target.path);
      case "bad":
        return state.misconfigured(
          node,
          // An administrator's mistake keeps the mail; a user's own is the user's.
          node.expander === "alias" ? "4.3.5" : "5.3.5",
          `${node.expander} of "${printable(node.address)}": ${target.why}: "${printable(target.text)}"`,
        );
      case "address":
        return await this.#address(node, withExtension(target.address, node.unmatched));
      default:
        target satisfies never;
    }
  }

  #file(node: Node, written: string): void {
    const state = this.#state;
    const { author, user } = node;
    if (!state.settings.allow_mail_to_files.includes(node.expander) || author === undefined) {
      return state.fail(node, "5.7.1", "mail to file is restricted");
    }
    if (written[0] === "~" && (user === undefined || written[1] !== "/")) {
      const what = written[1] === "/" ? "unknown home directory for" : "bad home directory syntax for";
      return state.misconfigured(node, "5.3.5", `${what}: ${printable(written)}`);
    }
    if (state.isDuplicate(`file ${author.kind} ${user?.uid ?? 0} ${written}`)) return;
    const format = written.endsWith("/") ? "maildir" : "mbox";
    const path = written[0] === "~" ? `${user!.home}${written.slice(1)}` : written;
    if (path !== NOWHERE && !isUsable(path)) {
      return state.fail(node, "5.2.0", `cannot append message to file ${printable(path)}: no place for mail`);
    }
    state.act(node, { kind: "file", path, request: { kind: "file", path: written, format, author } });
  }

  #command(node: Node, command: string): void {
    const state = this.#state;
    const { author, user, recipient } = node;
    if (!state.settings.allow_mail_to_commands.includes(node.expander) || author === undefined) {
      return state.fail(node, "5.7.1", "mail to command is restricted");
    }
    if (state.isDuplicate(`command ${author.kind} ${user?.uid ?? 0} ${command}`)) return;
    const request = { kind: "command", command, author } as const;
    state.act(node, { kind: "command", command, request, recipient, user });
  }

  async #include(node: Node, path: string): Promise<void> {
    const state = this.#state;
    if (state.isDuplicate(`include ${node.user?.uid ?? 0} ${path}`)) {
      this.#loops = true;
      return;
    }
    if (node.level > ALIAS_DEPTH_LIMIT) {
      return state.misconfigured(node, "5.3.5", `:include:${printable(path)}: nested too deeply`);
    }
    await this.#lines(await includeLines(state, node, path) ?? []);
  }

  /** An address that an alias, a file or luser_relay gave: one of our own users, or somebody else. */
  async #address(node: Node, address: string): Promise<void> {
    const state = this.#state;
    const resolved = await state.sources.resolve(node.sender, address);
    switch (resolved.kind) {
      case "retry":
        return state.fail({ ...node, address }, "4.3.0", `address resolver failure: ${resolved.why}`);
      case "bad":
        return state.fail({ ...node, address }, "5.1.3", "bad recipient address syntax");
      case "resolved": {
        const next = { ...node, address: resolved.recipient };
        if (resolved.transport === this.#serviceName) return await this.#recipient(next);
        return this.#forward(next);
      }
      default:
        resolved satisfies never;
    }
  }

  #forward(node: Node): void {
    if (this.#state.isDuplicate(`indirect ${node.sender} ${node.address}`)) return;
    this.#state.act(node, { kind: "forward" });
  }

  /** A user of this system, or nobody that it knows. */
  async #user(node: Node): Promise<void> {
    const state = this.#state;
    const { user: name, localpart } = node.recipient;
    const found = await state.sources.passwd(name);
    const user = found.kind === "found" ? parseUser(found.value) : undefined;
    // Nothing is read as root.
    if (user !== undefined && user.uid !== 0) {
      const lines = await forwardLines(state, node, user);
      if (lines === "settled") return;
      if (lines !== undefined) return await this.#lines(lines);
    }
    if (state.isDuplicate(`mailbox ${localpart}`)) return;
    if (await toMailboxTransport(state, node)) return;
    if (found.kind === "retry") return state.fail(node, "4.0.0", `user lookup error: ${found.why}`);
    if (found.kind === "missing") {
      return await toUnknown(state, node, (next, address) => this.#address(next, address));
    }
    if (user === undefined) return state.fail(node, "4.0.0", "user lookup error: malformed entry");
    await toMailbox(state, node, user);
  }
}

/** No path that leads elsewhere than it says, and nothing that the runtime opens for no sandbox. */
function isUsable(path: string): boolean {
  return isPlainPath(withoutSlashes(path)) && !SYSTEM_FILES.some((directory) => path.startsWith(directory));
}

function withExtension(address: string, extension: string): string {
  if (extension === "") return address;
  const { localpart, domain } = splitAddress(address);
  return joinAddress(localpart + extension, domain);
}
