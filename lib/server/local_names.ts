/**
 * `$name` in parameters of local delivery, with values from the recipient: forward_path, luser_relay and
 * command_execution_directory (postfix-map section 9.4). What mail brings is filtered before it is put in.
 *
 * @module
 */
// Safe primitives
import { isAbsolute, normalize } from "../safe/path.ts";
// Utility
import { splitBlanks } from "../vstring/ascii.ts";
import { expand, ExpandError, referencedNames } from "../config/expand.ts";
// Mail
import { type ExtensionRule, splitAddress, splitExtension } from "../mail/address.ts";

/** A recipient of local delivery and its parts. */
export interface LocalRecipient {
  /** Internal form. */
  readonly address: string;
  /** Letters folded, extension included. */
  readonly localpart: string;
  readonly user: string;
  /** Without its delimiter; empty when there is none, or one with a slash, which could name a file elsewhere. */
  readonly extension: string;
  readonly delimiter: string;
}

/** What is known of the user whose recipient it is. */
export interface Account {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

/** The recipient and its parts. */
export function localRecipient(address: string, localpart: string, rule: ExtensionRule): LocalRecipient {
  const { user, extension, delimiter } = splitExtension(localpart, rule);
  return { address, localpart, user, delimiter, extension: extension.includes("/") ? "" : extension };
}

/** The text with the names replaced, or what is wrong with it. */
export type Expanded =
  | {
    readonly kind: "text";
    readonly text: string;
    /** A name without a value was put in. */
    readonly lacks: boolean;
    readonly usesExtension: boolean;
  }
  | { readonly kind: "bad"; readonly why: string };

/**
 * Replaces the names of a parameter.
 *
 * @param account undefined where there is no user: its names have no value
 * @param filter characters that a value keeps, others become `_`; undefined for all, where the result is an address
 */
export function expandNames(
  text: string,
  recipient: LocalRecipient,
  account: Account | undefined,
  filter: string | undefined,
): Expanded {
  const { address, localpart, user, extension } = recipient;
  const values: ReadonlyMap<string, string> = new Map([
    ["user", user],
    ["home", account?.home ?? ""],
    ["shell", account?.shell ?? ""],
    ["domain", splitAddress(address).domain ?? ""],
    ["local", localpart],
    ["mailbox", localpart],
    ["recipient", address],
    ["extension", extension],
    ["recipient_delimiter", recipient.delimiter],
  ]);
  let lacks = false;
  let usesExtension = false;
  try {
    const expanded = expand(text, (name, tested) => {
      const value = values.get(name);
      if (value === undefined) throw new ExpandError(`unknown name "${name}"`);
      usesExtension ||= name === "extension";
      lacks ||= value === "" && !tested;
      return filter === undefined ? value : filtered(value, filter);
    });
    return { kind: "text", text: expanded, lacks, usesExtension };
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error;
    return { kind: "bad", why: error.message };
  }
}

/** The value with `_` for everything that is not in the filter. */
export function filtered(value: string, filter: string): string {
  let out = "";
  for (const character of value) out += filter.includes(character) ? character : "_";
  return out;
}

/** Parameters that say where .forward files are. */
export interface ForwardSettings {
  readonly forward_path: string;
  readonly forward_expansion_filter: string;
}

/** One file that may be the recipient's .forward. */
export interface ForwardPath {
  readonly path: string;
  /** Its name has the extension in it: the addresses in it do not get it again. */
  readonly usesExtension: boolean;
}

/** The files in the order in which they count; one that needs what the recipient has not is left out. */
export function forwardPaths(
  settings: ForwardSettings,
  account: Account,
  recipient: LocalRecipient,
): ForwardPath[] | { readonly why: string } {
  const paths: ForwardPath[] = [];
  for (const item of splitBlanks(settings.forward_path, true)) {
    const expanded = expandNames(item, recipient, account, settings.forward_expansion_filter);
    if (expanded.kind === "bad") return { why: expanded.why };
    const { text: path, lacks, usesExtension } = expanded;
    // The runtime's flags cannot name a path with a comma; one with ".." would lead elsewhere.
    if (lacks || !isPlainPath(path)) continue;
    paths.push({ path, usesExtension });
  }
  return paths;
}

/** True when the .forward files of a user's own address follow from the user alone. */
export function dependsOnUser(settings: Pick<ForwardSettings, "forward_path">): boolean {
  return referencedNames(settings.forward_path).every((name) => name !== "recipient" && name !== "domain");
}

/** True for an absolute path that stands for itself and that a flag can name. */
export function isPlainPath(path: string): boolean {
  return isAbsolute(path) && path !== "/" && normalize(path) === path && !path.endsWith("/") &&
    !path.includes(",") && !path.includes("\0");
}
