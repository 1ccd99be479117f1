/**
 * What the `arguments` of a pipe service say, in the notation of pipe(8): `flags=`, `user=`, `directory=`, `eol=`,
 * `null_sender=`, `size=`, and `argv=` last. Each item of the list is one attribute; behind `argv=` stands the whole
 * command, whose arguments are split at blanks outside braces, or the first of the arguments that follow.
 *
 * @module
 */
import { parseDecimal, splitBlanks, trimBlanks } from "../vstring/ascii.ts";
import { readCEscape } from "../vstring/c_escape.ts";

/** Flags that pipe(8) knows, each once. */
const FLAGS = "BDFORXhqu.>";
/** Arguments of a command. */
const ARGUMENTS_LIMIT = 1000;

/** A pipe service's attributes. */
export interface PipeAttributes {
  readonly flags: string;
  readonly user: string;
  /** Empty: the user's own. */
  readonly group: string;
  /** Empty: the queue directory. */
  readonly directory: string;
  readonly eol: string;
  readonly nullSender: string;
  /** Most bytes of a message; 0: any. */
  readonly size: number;
  /** Program and arguments, with their macros. */
  readonly argv: readonly string[];
}

/** The attributes, or what is wrong with the list. */
export type ReadAttributes =
  | { readonly kind: "attributes"; readonly attributes: PipeAttributes }
  | { readonly kind: "bad"; readonly why: string; readonly cure?: string };

/** Reads the list. */
export function readPipeAttributes(items: readonly string[]): ReadAttributes {
  const values = new Map<string, string>();
  for (const [index, item] of items.entries()) {
    const equals = item.indexOf("=");
    const name = item.slice(0, Math.max(0, equals));
    if (name === "argv") {
      const argv = [item.slice(equals + 1), ...items.slice(index + 1)];
      return check(values, argv.length === 1 ? splitCommand(argv[0]!) : argv);
    }
    if (name === "chroot") {
      const cure =
        "leave it out: the program runs as its user, in a process that may start it and nothing else";
      return { kind: "bad", why: "Postern has no chroot", cure };
    }
    if (!NAMES.includes(name)) {
      return bad(`unknown attribute "${item}"`, `there are ${NAMES.join(", ")}, argv`);
    }
    if (values.has(name)) return bad(`attribute "${name}" is there twice`);
    values.set(name, item.slice(equals + 1));
  }
  return bad('attribute "argv" is missing', "it stands last: argv=/path/program ...");
}

/** Reads the list of a spawn service, which has `user=` and `argv=` alone. */
export function readSpawnAttributes(items: readonly string[]): ReadAttributes {
  for (const item of items) {
    if (item.startsWith("argv=")) break;
    if (!item.startsWith("user=")) return bad(`unknown attribute "${item}"`, "there are user, argv");
  }
  return readPipeAttributes(items);
}

const NAMES: readonly string[] = ["directory", "eol", "flags", "null_sender", "size", "user"];

function bad(why: string, cure?: string): ReadAttributes {
  return { kind: "bad", why, ...(cure === undefined ? {} : { cure }) };
}

function check(values: ReadonlyMap<string, string>, argv: readonly string[] | undefined): ReadAttributes {
  if (argv === undefined) return bad('"argv": a brace is not closed, or follows or precedes other text');
  const program = argv[0] ?? "";
  if (!program.startsWith("/")) {
    return bad(`"argv": "${program}" is not an absolute path`, "the program is started without a shell");
  }
  if (program.includes(",") || program.includes("$")) {
    return bad(`"argv": "${program}" cannot name a program`);
  }
  if (argv.length > ARGUMENTS_LIMIT) return bad(`"argv": more than ${ARGUMENTS_LIMIT} arguments`);
  const flags = values.get("flags") ?? "";
  const unknown = [...flags].find((flag) => !FLAGS.includes(flag));
  if (unknown !== undefined) return bad(`unknown flag "${unknown}"`, `there are ${FLAGS}`);
  const [user = "", group, more] = (values.get("user") ?? "").split(":");
  if (user === "" || group === "" || more !== undefined) {
    return bad('attribute "user" is missing', "user=NAME or user=NAME:GROUP");
  }
  const directory = values.get("directory") ?? "";
  if (directory !== "" && !directory.startsWith("/")) {
    return bad(`"directory": "${directory}" is not an absolute path`);
  }
  const size = parseDecimal(values.get("size") ?? "0");
  if (size === undefined) return bad(`"size": "${values.get("size")}" is no number`);
  const eol = unescape(values.get("eol") ?? "\\n");
  if (eol === undefined || eol === "") return bad(`"eol": "${values.get("eol")}" makes no line end`);
  const nullSender = values.get("null_sender") ?? "MAILER-DAEMON";
  const attributes = { flags, user, group: group ?? "", directory, eol, nullSender, size, argv };
  return { kind: "attributes", attributes };
}

/** Words at blanks; a word in braces keeps its blanks, those at its two ends excepted. */
function splitCommand(text: string): string[] | undefined {
  const words: string[] = [];
  let rest = trimBlanks(text);
  while (rest !== "") {
    if (rest[0] !== "{") {
      const [word = ""] = splitBlanks(rest);
      words.push(word);
      rest = trimBlanks(rest.slice(word.length));
      continue;
    }
    const end = closingBrace(rest);
    const next = rest[end + 1] ?? " ";
    if (end < 0 || trimBlanks(next) !== "") return undefined;
    words.push(trimBlanks(rest.slice(1, end)));
    rest = trimBlanks(rest.slice(end + 1));
  }
  return words;
}

function closingBrace(text: string): number {
  let level = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "{") level++;
    else if (text[i] === "}" && --level === 0) return i;
  }
  return -1;
}

/** The text with C's escapes replaced: `\n`, `\015`; undefined for a byte beyond ASCII or a lone backslash. */
function unescape(text: string): string | undefined {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "\\") {
      out += text[i];
      continue;
    }
    const { code, length } = readCEscape(text, i);
    if (code === undefined || code > 0x7f) return undefined;
    out += String.fromCharCode(code);
    i += length;
  }
  return out;
}
