/**
 * Files of targets: a user's .forward, and :include: lists. They are read by helpers with the rights that Postfix would
 * read them with; what they name is told to master by those helpers (postfix-map sections 9.2 and 9.3).
 *
 * @module
 */
// Utility
import { decodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { outcomeOf } from "../mail/mailbox_outcome.ts";
// Server skeleton
import { type HelperFile } from "./mailbox_helper.ts";
import { dependsOnUser, type ForwardPath, forwardPaths } from "./local_names.ts";
import { type LocalTarget, parseTargets, targetLines } from "./local_target.ts";
import { type ExpansionState, type Node } from "./local_state.ts";
import { type LocalUser, userMailbox } from "./local_user.ts";

/** A line of a file with the node that its targets go on from. */
export interface TargetLine {
  readonly node: Node;
  readonly targets: readonly LocalTarget[];
}

/**
 * The lines of the user's .forward: undefined when there is none that counts, so that the mail goes to the mailbox;
 * settled when nothing can be said now.
 */
export async function forwardLines(
  state: ExpansionState,
  node: Node,
  user: LocalUser,
): Promise<TargetLine[] | undefined | "settled"> {
  const { settings, sources } = state;
  const paths = forwardPaths(settings, user, node.recipient);
  if (!Array.isArray(paths)) {
    state.misconfigured(node, "4.3.5", `bad forward_path: ${paths.why}`);
    return "settled";
  }
  if (paths.length === 0 && !settings.require_home_directory) return undefined;
  const found = await sources.read(forwardRequest(state, node, user));
  if (found.kind === "missing") return undefined;
  if (found.kind === "retry") {
    state.fail(node, "4.3.0", homeTrouble(state, user, found));
    return "settled";
  }
  const path = paths[found.index];
  if (found.kind === "refused" || path === undefined) {
    const why = found.kind === "refused" ? found.why : "unexpected answer";
    sources.warn(`${printable(path?.path ?? "")}: ${printable(why)}`);
    return undefined;
  }
  if (state.probe) {
    state.settle(node, outcomeOf("2.0.0", `forward via file: ${printable(path.path)}`));
    return "settled";
  }
  // The own address in one's own .forward is the mailbox.
  if (state.isDuplicate(`forward ${path.path}`)) return undefined;
  state.note(node, { kind: "forward", path: path.path });
  const lines = linesOf(state, forwarding(state, node, user, path), decodeText(found.content));
  return lines.length > 0 ? lines : undefined;
}

/** The user's mailbox helper reads the .forward where it can: nearly all mail needs one process then. */
function forwardRequest(state: ExpansionState, { address, recipient }: Node, user: LocalUser) {
  const { settings } = state;
  const mailbox = userMailbox(user, settings);
  const plain = recipient.localpart === user.name && dependsOnUser(settings) &&
    !settings.require_home_directory;
  const usesMailbox = settings.mailbox_command === "" && settings.mailbox_command_maps.length === 0;
  if (plain && usesMailbox && mailbox.kind === "mailbox") return mailbox.task;
  return { kind: "forward", recipient: address } as const;
}

function homeTrouble(
  { settings }: ExpansionState,
  user: LocalUser,
  { why }: HelperFile & { kind: "retry" },
): string {
  if (!settings.require_home_directory) return `cannot read .forward: ${why}`;
  return `cannot access home directory ${user.home}: ${why}`;
}

/** What the targets of a .forward go on from. */
function forwarding(state: ExpansionState, node: Node, user: LocalUser, path: ForwardPath): Node {
  const { extension, delimiter } = node.recipient;
  const propagates = state.settings.propagate_unmatched_extensions.includes("forward");
  const unmatched = propagates && extension !== "" && !path.usesExtension ? delimiter + extension : "";
  return {
    ...node,
    expander: "forward",
    author: { kind: "forward", user: user.name },
    owner: user.name,
    user,
    unmatched,
    deliveredTo: state.settings.frozen_delivered_to ? node.deliveredTo : node.address,
  };
}

/** The lines of a list; undefined when it was settled that there are none. */
export async function includeLines(
  state: ExpansionState,
  node: Node,
  path: string,
): Promise<TargetLine[] | undefined> {
  const { author } = node;
  const shown = `:include:${printable(path)}`;
  const wrong = (why: string) => void state.misconfigured(node, "5.3.5", `${shown} ${why}`);
  if (author === undefined || !path.startsWith("/")) return wrong("uses a relative path");
  const found = await state.sources.read({ kind: "include", path, author });
  if (found.kind === "retry") return void state.fail(node, "4.3.5", `cannot read list: ${found.why}`);
  if (found.kind !== "read") {
    return wrong(found.kind === "missing" ? "is missing" : `cannot be used: ${printable(found.why)}`);
  }
  state.note(node, { kind: "include", path });
  const propagates = state.settings.propagate_unmatched_extensions.includes("include");
  const from: Node = {
    ...node,
    expander: "include",
    author: { kind: "list", path, author },
    // Its members are submitted anew, each with a status of its own.
    owner: node.owner ?? node.address,
    unmatched: propagates ? node.unmatched : "",
  };
  return linesOf(state, from, decodeText(found.content));
}

function linesOf(state: ExpansionState, from: Node, text: string): TargetLine[] {
  const file = state.nextFile();
  const lines: TargetLine[] = [];
  for (const line of targetLines(text, state.settings.line_length_limit)) {
    const targets = parseTargets(line);
    if (targets === undefined) continue;
    const node = { ...from, lines: [...from.lines, { file, line: lines.length }] };
    if (targets.length > 0) lines.push({ node, targets });
  }
  return lines;
}
