/**
 * The path of a virtual mailbox, made from what a table says or from the recipient, and never anything but a name
 * below virtual_mailbox_base.
 *
 * @module
 */
// Safe primitives
import { withoutSlashes } from "../safe/path.ts";
// Utility
import { encodeText } from "../vstring/byte_builder.ts";

/** Longest name in a directory, bytes. */
const NAME_LIMIT = 255;

/** A checked path, or why there is none: the recipient's fault (bounce) or the configuration's (defer). */
export type VirtualPath =
  | { readonly kind: "path"; readonly path: string; readonly format: "maildir" | "mbox" }
  | { readonly kind: "badRecipient"; readonly why: string }
  | { readonly kind: "badConfiguration"; readonly why: string };

/** The parts of a recipient that a path may hold, letters in lower case. */
export interface VirtualRecipient {
  /** Local part without extension. */
  readonly user: string;
  readonly domain: string;
}

/**
 * The path below the base that virtual_mailbox_path or a table's value gives.
 *
 * @param base virtual_mailbox_base
 * @param template virtual_mailbox_path: `%u` user, `%d` domain, `%%` a percent sign; empty: `value` is the path
 * @param value what virtual_mailbox_maps says
 */
export function virtualPath(
  base: string,
  template: string,
  value: string,
  recipient: VirtualRecipient,
): VirtualPath {
  if (!base.startsWith("/")) return badConfiguration("virtual_mailbox_base is not an absolute path");
  let relative = value;
  if (template !== "") {
    const expanded = expandTemplate(template, recipient);
    if (expanded.kind !== "text") return expanded;
    relative = expanded.text;
  }
  const names = relative.split("/").filter((name) => name !== "");
  if (names.length === 0) return badConfiguration("virtual mailbox has no name");
  for (const name of names) {
    const why = nameFault(name);
    if (why !== undefined) return badConfiguration(`path of virtual mailbox ${why}`);
  }
  const format = relative.endsWith("/") ? "maildir" : "mbox";
  return { kind: "path", path: `${withoutSlashes(base)}/${names.join("/")}`, format };
}

function badConfiguration(why: string): VirtualPath & { kind: "badConfiguration" } {
  return { kind: "badConfiguration", why };
}

type Expanded =
  | { readonly kind: "text"; readonly text: string }
  | Exclude<VirtualPath, { kind: "path" }>;

function expandTemplate(template: string, recipient: VirtualRecipient): Expanded {
  let out = "";
  for (let i = 0; i < template.length; i++) {
    if (template[i] !== "%") {
      out += template[i];
      continue;
    }
    const letter = template[++i];
    if (letter === "%") out += "%";
    else if (letter === "u" || letter === "d") {
      const part = letter === "u" ? recipient.user : recipient.domain;
      // What a stranger wrote becomes one name: no step to another directory, no hidden file.
      const why = part.includes("/")
        ? "holds a slash"
        : part.startsWith(".")
        ? "begins with a dot"
        : nameFault(part);
      if (why !== undefined) return { kind: "badRecipient", why: `mailbox name ${why}` };
      out += part;
    } else return badConfiguration(`virtual_mailbox_path holds "%${letter ?? ""}"`);
  }
  return { kind: "text", text: out };
}

/** What is wrong with one name of a path, if anything. */
function nameFault(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name === "." || name === "..") return `holds "${name}"`;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f) return "holds a control character";
    // Bytes that are no UTF-8: a name that other programs may read as another one.
    if (unit >= 0xdc80 && unit <= 0xdcff && !name.isWellFormed()) return "is not UTF-8";
  }
  return encodeText(name).length > NAME_LIMIT ? "is too long" : undefined;
}
