/**
 * Where the mail of one local name goes when neither an alias nor a .forward says so: another transport, a command, a
 * mailbox, or what is configured for names that nobody has (postfix-map section 9.1, steps 9 and 10).
 *
 * @module
 */
// Utility
import { equalsIgnoreCase } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { outcomeOf } from "../mail/mailbox_outcome.ts";
// Server skeleton
import { expandNames } from "./local_names.ts";
import { type UserMaps } from "./local_sources.ts";
import { type ExpansionState, type Node } from "./local_state.ts";
import { type LocalUser, userMailbox } from "./local_user.ts";

/** Another transport for all local names (mailbox_transport_maps, mailbox_transport); true when there is one. */
export async function toMailboxTransport(state: ExpansionState, node: Node): Promise<boolean> {
  return await toTransport(state, node, "mailbox_transport_maps", state.settings.mailbox_transport);
}

async function toTransport(
  state: ExpansionState,
  node: Node,
  maps: UserMaps,
  transport: string,
): Promise<boolean> {
  const found = await state.sources.forUser(maps, node.recipient.user);
  if (found.kind === "retry") {
    state.fail(node, "4.3.0", `${maps} lookup error: ${found.why}`);
    return true;
  }
  const chosen = found.kind === "found" ? found.value : transport;
  if (chosen === "") return false;
  state.act(node, { kind: "pass", transport: chosen });
  return true;
}

/** The mailbox of a user, or the command that fills it. */
export async function toMailbox(state: ExpansionState, node: Node, user: LocalUser): Promise<void> {
  const { settings, sources } = state;
  const found = await sources.forUser("mailbox_command_maps", user.name);
  if (found.kind === "retry") {
    return state.fail(node, "4.3.0", `mailbox_command_maps lookup error: ${found.why}`);
  }
  const mailbox = userMailbox(user, settings);
  if (mailbox.kind === "none") {
    sources.warn(printable(mailbox.why));
    return state.fail(node, "4.3.5", `mail system configuration error: ${mailbox.why}`);
  }
  const command = found.kind === "found" ? found.value : settings.mailbox_command;
  if (command === "") return state.act(node, { kind: "mailbox", task: mailbox.task });
  const request = { kind: "mailboxCommand", user: user.name } as const;
  state.act(node, { kind: "command", command, request, recipient: node.recipient, user });
}

/**
 * A name that nobody has.
 *
 * @param relay goes on with the address that luser_relay gives
 */
export async function toUnknown(
  state: ExpansionState,
  node: Node,
  relay: (node: Node, address: string) => Promise<void>,
): Promise<void> {
  const { settings, sources } = state;
  if (await toTransport(state, node, "fallback_transport_maps", settings.fallback_transport)) return;
  const { user } = node.recipient;
  if (settings.luser_relay !== "") {
    const address = luserRelay(state, node);
    if (address === undefined) return;
    const canonical = await sources.rewrite(address);
    if (canonical === undefined) return state.fail(node, "4.3.0", "address resolver failure");
    // Mail for an unknown user that luser_relay sends to the same user goes round for ever.
    if (!equalsIgnoreCase(canonical, node.address)) {
      return await relay({ ...node, level: node.level + 1, unmatched: "" }, canonical);
    }
  } else if (user === "postmaster" || user === "mailer-daemon") {
    sources.warn(`required alias not found: ${user}`);
    return state.settle(node, outcomeOf("2.0.0", "discarded"));
  }
  state.fail(node, "5.1.1", `unknown user: "${printable(user)}"`);
}

/** The address that luser_relay gives; undefined when what is wrong with it was settled. */
function luserRelay(state: ExpansionState, node: Node): string | undefined {
  const expanded = expandNames(state.settings.luser_relay, node.recipient, undefined, undefined);
  const why = expanded.kind === "bad"
    ? expanded.why
    : "/|:".includes(expanded.text[0] ?? "/")
    ? "commands, files and include lists are not allowed"
    : undefined;
  if (expanded.kind === "text" && why === undefined) return expanded.text;
  state.misconfigured(node, "4.3.5", `bad luser_relay: ${why}`);
  return undefined;
}
