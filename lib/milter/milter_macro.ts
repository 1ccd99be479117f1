/**
 * Macros: what a filter is told beside a command, each a name and a value, as Sendmail has them.
 *
 * @module
 */
// Utility
import { trimBlanks } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// Tables
import { BraceError, splitBraced } from "../table/braces.ts";
// This protocol
import { COMMAND, encodeStrings, type FieldReader, MilterFormatError } from "./milter_codec.ts";

/** The commands that macros may go with, in the order of their numbers on the wire (SMFIM). */
export const STAGES = ["connect", "helo", "mail", "rcpt", "data", "endOfData", "endOfHeader"] as const;
/** A command that macros go with. A filter cannot ask for those of an unknown one. */
export type MacroStage = (typeof STAGES)[number] | "unknown";

/** The command that each stage is about. */
export const STAGE_COMMANDS: Readonly<Record<MacroStage, number>> = {
  connect: COMMAND.CONNECT,
  helo: COMMAND.HELO,
  mail: COMMAND.MAIL,
  rcpt: COMMAND.RCPT,
  data: COMMAND.DATA,
  endOfHeader: COMMAND.HEADER_END,
  endOfData: COMMAND.BODY_END,
  unknown: COMMAND.UNKNOWN,
};

/** Names by stage. */
export type MacroLists = Readonly<Record<MacroStage, readonly string[]>>;
/** No macros at any stage. */
export const NO_MACROS: MacroLists = {
  connect: [],
  helo: [],
  mail: [],
  rcpt: [],
  data: [],
  endOfHeader: [],
  endOfData: [],
  unknown: [],
};

/** Lists that a filter has asked for, in the place of the configuration's. */
export type AskedMacros = { readonly [S in MacroStage]?: readonly string[] };

/** The value of a macro; undefined when it has none now. */
export type MacroLookup = (name: string) => string | undefined;

/** Most macros that a filter may ask for at one stage. */
const NAMES_LIMIT = 100;
/** Longest value that is passed on, UTF-16 units. */
const VALUE_LIMIT = 2000;

/** The parameters with the lists. */
export const MACRO_PARAMETERS = {
  connect: "milter_connect_macros",
  helo: "milter_helo_macros",
  mail: "milter_mail_macros",
  rcpt: "milter_rcpt_macros",
  data: "milter_data_macros",
  endOfHeader: "milter_end_of_header_macros",
  endOfData: "milter_end_of_data_macros",
  unknown: "milter_unknown_command_macros",
} as const satisfies Record<MacroStage, string>;

type MacroParameter = (typeof MACRO_PARAMETERS)[MacroStage];

/** The lists of the configuration. */
export function macroLists(settings: Readonly<Record<MacroParameter, readonly string[]>>): MacroLists {
  const list = (stage: MacroStage) => settings[MACRO_PARAMETERS[stage]].map(macroName);
  return {
    connect: list("connect"),
    helo: list("helo"),
    mail: list("mail"),
    rcpt: list("rcpt"),
    data: list("data"),
    endOfHeader: list("endOfHeader"),
    endOfData: list("endOfData"),
    unknown: list("unknown"),
  };
}

/** Values of milter_macro_defaults, `name=value` each. Items without a name are left out. */
export function macroDefaults(items: readonly string[]): ReadonlyMap<string, string> {
  return new Map(items.flatMap((item): [string, string][] => {
    // `{name}=value` has braces of its own; `{ name = value }` stands in them as a whole.
    const whole = item.startsWith("{") && item.endsWith("}") && item.includes("=");
    const text = whole ? item.slice(1, -1) : item;
    const equals = text.indexOf("=");
    if (equals <= 0) return [];
    return [[macroName(trimBlanks(text.slice(0, equals))), trimBlanks(text.slice(equals + 1))]];
  }));
}

/** A name of several characters has braces around it, and one of a single character has none. */
function macroName(text: string): string {
  const bare = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  return bare.length === 1 ? bare : `{${bare}}`;
}

/** The data of a MACRO packet; undefined when no macro of the list has a value. */
export function macroData(
  stage: MacroStage,
  names: readonly string[],
  lookup: MacroLookup,
): Uint8Array[] | undefined {
  const pairs = names.flatMap((name): Uint8Array[] => {
    const value = lookup(name);
    return value === undefined ? [] : [encodeText(name), encodeText(value.slice(0, VALUE_LIMIT))];
  });
  return pairs.length === 0 ? undefined : [new Uint8Array([STAGE_COMMANDS[stage]]), encodeStrings(...pairs)];
}

/** The lists that a filter asks for at the end of its negotiation. Throws a MilterFormatError. */
export function readAskedMacros(fields: FieldReader, decode: (bytes: Uint8Array) => string): AskedMacros {
  const asked: { [S in MacroStage]?: readonly string[] } = {};
  while (fields.left > 0) {
    const stage = STAGES[fields.number()];
    const names = askedNames(decode(fields.string()));
    if (stage !== undefined) asked[stage] = names.slice(0, NAMES_LIMIT);
  }
  return asked;
}

function askedNames(text: string): string[] {
  try {
    return splitBraced(text).map((item) => macroName(item.text));
  } catch (error) {
    if (!(error instanceof BraceError)) throw error;
    throw new MilterFormatError(error.message);
  }
}
