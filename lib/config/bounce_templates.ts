/**
 * The texts of delivery status notifications: those that are built in, and the file of bounce_template_file that
 * replaces some of them, in Postfix's format (bounce(5)).
 *
 * @module
 */
import { asciiLower, isAscii, trimBlanks } from "../vstring/ascii.ts";
import { expand, type NameLookup } from "./expand.ts";

/** The notifications, as a template file names them with "_template" behind. */
export const TEMPLATE_KINDS = ["failure", "delay", "success", "verify"] as const;
/** One of the notifications. */
export type TemplateKind = typeof TEMPLATE_KINDS[number];

/** One notification's header values and text. */
export interface BounceTemplate {
  /** MIME character set of the text. */
  readonly charset: string;
  /** Value of From:; empty: as header_from_format says. */
  readonly from: string;
  readonly subject: string;
  /** Subject of postmaster copies; empty: as the sender's. */
  readonly postmasterSubject: string;
  readonly text: readonly string[];
}

/** One template for each notification. */
export type BounceTemplates = Readonly<Record<TemplateKind, BounceTemplate>>;

/** A template file that cannot be used; `line` from 1 on. */
export class TemplateError extends Error {
  override name = "TemplateError";
  readonly line: number;

  constructor(line: number, why: string) {
    super(why);
    this.line = line;
  }
}

const HOST = ["This is the mail system at host $myhostname.", ""];
const FOR_HELP = [
  "For further assistance, please send mail to postmaster.",
  "",
  "If you do so, please include this problem report. You can",
  "delete your own text from the attached returned message.",
  "",
];
const SIGNATURE = "                   The mail system";
const PLAIN = { charset: "us-ascii", from: "" } as const;

/** Postfix's texts, `$name` not expanded. */
export const BUILT_IN_TEMPLATES: BounceTemplates = {
  failure: {
    ...PLAIN,
    subject: "Undelivered Mail Returned to Sender",
    postmasterSubject: "Postmaster Copy: Undelivered Mail",
    text: [
      ...HOST,
      "I'm sorry to have to inform you that your message could not",
      "be delivered to one or more recipients. It's attached below.",
      "",
      ...FOR_HELP,
      SIGNATURE,
    ],
  },
  delay: {
    ...PLAIN,
    subject: "Delayed Mail (still being retried)",
    postmasterSubject: "Postmaster Warning: Delayed Mail",
    text: [
      ...HOST,
      "####################################################################",
      "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #",
      "####################################################################",
      "",
      "Your message could not be delivered for more than $delay_warning_time_hours hour(s).",
      "It will be retried until it is $maximal_queue_lifetime_days day(s) old.",
      "",
      ...FOR_HELP,
      SIGNATURE,
    ],
  },
  success: {
    ...PLAIN,
    subject: "Successful Mail Delivery Report",
    postmasterSubject: "",
    text: [
      ...HOST,
      "Your message was successfully delivered to the destination(s)",
      "listed below. If the message was delivered to mailbox you will",
      "receive no further notifications. Otherwise you may still receive",
      "notifications of mail delivery errors from other systems.",
      "",
      SIGNATURE,
    ],
  },
  verify: {
    ...PLAIN,
    subject: "Mail Delivery Status Report",
    postmasterSubject: "",
    text: [...HOST, "Enclosed is the mail delivery report that you requested.", "", SIGNATURE],
  },
};

/** Parameters that a text may name with the unit of time behind. */
export const TEMPLATE_TIMES = ["delay_warning_time", "maximal_queue_lifetime"] as const;
const UNIT_SECONDS: ReadonlyMap<string, number> = new Map([
  ["seconds", 1],
  ["minutes", 60],
  ["hours", 3600],
  ["days", 86400],
  ["weeks", 604800],
]);

/** `delay_warning_time_hours` as its parameter and the seconds of its unit; undefined for any other name. */
export function templateTime(
  name: string,
): { readonly parameter: typeof TEMPLATE_TIMES[number]; readonly unit: number } | undefined {
  const parameter = TEMPLATE_TIMES.find((one) => name.startsWith(`${one}_`));
  const unit = parameter === undefined ? undefined : UNIT_SECONDS.get(name.slice(parameter.length + 1));
  return parameter === undefined || unit === undefined ? undefined : { parameter, unit };
}

/**
 * The templates with every `$name` in their texts replaced; headers have none.
 *
 * @throws ExpandError, and what `lookup` throws
 */
export function expandTemplates(templates: BounceTemplates, lookup: NameLookup): BounceTemplates {
  const expanded = TEMPLATE_KINDS.map((kind) => {
    const template = templates[kind];
    const text = expand(template.text.join("\n"), lookup).split("\n");
    return [kind, Object.freeze({ ...template, text: Object.freeze(text) })] as const;
  });
  return Object.freeze(Object.fromEntries(expanded)) as BounceTemplates;
}

/** A place in the lines of a file. */
interface Cursor {
  readonly lines: readonly string[];
  at: number;
}

/**
 * Reads a template file; a template that it does not have, or a header that one of its templates does not have, is
 * the built-in one.
 *
 * @throws TemplateError
 */
export function parseTemplates(file: string): BounceTemplates {
  const found: Partial<Record<TemplateKind, BounceTemplate>> = {};
  const cursor: Cursor = { lines: file.split("\n"), at: 0 };
  for (; cursor.at < cursor.lines.length; cursor.at++) {
    const line = trimBlanks(cursor.lines[cursor.at]!);
    if (line === "" || line.startsWith("#")) continue;
    const kind = readTemplateName(line, cursor.at + 1);
    if (found[kind] !== undefined) throw new TemplateError(cursor.at + 1, `${kind}_template is there twice`);
    found[kind] = readTemplate(cursor, line.slice(line.indexOf("<<") + 2), BUILT_IN_TEMPLATES[kind]);
  }
  return { ...BUILT_IN_TEMPLATES, ...found };
}

/** The template that `name_template = <<EOF` begins. */
function readTemplateName(line: string, number: number): TemplateKind {
  const equals = line.indexOf("=");
  const name = trimBlanks(line.slice(0, Math.max(0, equals)));
  const kind = TEMPLATE_KINDS.find((one) => name === `${one}_template`);
  if (equals < 0) throw new TemplateError(number, 'expected "name_template = <<EOF"');
  if (kind === undefined) throw new TemplateError(number, `unknown template name "${name}"`);
  if (!trimBlanks(line.slice(equals + 1)).startsWith("<<")) {
    throw new TemplateError(number, `expected "<<EOF" behind "${name} ="`);
  }
  return kind;
}

/** Reads up to the line that holds the end mark alone; the cursor is left on it. */
function readTemplate(cursor: Cursor, mark: string, builtIn: BounceTemplate): BounceTemplate {
  const begin = cursor.at + 1;
  const word = trimBlanks(mark);
  if (word === "" || /["' \t]/.test(word)) throw new TemplateError(begin, "bad word behind <<");
  const end = cursor.lines.indexOf(word, begin);
  if (end < 0) throw new TemplateError(begin, `end mark "${word}" is missing`);
  cursor.at = end;
  const lines = cursor.lines.slice(begin, end);
  const { headers, size } = readHeaders(lines, begin + 1);
  const text = lines.slice(size);
  const charset = headers.get("charset") ?? builtIn.charset;
  const foreign = text.findIndex((line) => !isAscii(line));
  if (foreign >= 0 && asciiLower(charset) === "us-ascii") {
    throw new TemplateError(begin + size + foreign + 1, "text outside ASCII needs a Charset: header");
  }
  return {
    charset,
    from: headers.get("from") ?? builtIn.from,
    subject: headers.get("subject") ?? builtIn.subject,
    postmasterSubject: headers.get("postmaster-subject") ?? builtIn.postmasterSubject,
    text,
  };
}

const HEADERS: readonly string[] = ["charset", "from", "subject", "postmaster-subject"];

/** The headers by name in lower case, and how many lines they take with the empty line behind them. */
function readHeaders(
  lines: readonly string[],
  firstLine: number,
): { readonly headers: ReadonlyMap<string, string>; readonly size: number } {
  const headers = new Map<string, string>();
  for (const [i, line] of lines.entries()) {
    if (line === "") return { headers, size: i + 1 };
    const colon = line.indexOf(":");
    const name = asciiLower(line.slice(0, Math.max(0, colon)));
    if (colon <= 0 || /[ \t]/.test(name)) return { headers, size: i };
    const value = trimBlanks(line.slice(colon + 1));
    if (!HEADERS.includes(name)) {
      throw new TemplateError(firstLine + i, `unknown template header "${line.slice(0, colon)}"`);
    }
    if (!isAscii(value) || value === "") {
      throw new TemplateError(firstLine + i, `template header "${line.slice(0, colon)}" must be ASCII text`);
    }
    headers.set(name, value);
  }
  return { headers, size: lines.length };
}

/**
 * The templates as a file that `parseTemplates` reads (postconf -t).
 *
 * @param from value of From: where a template has none of its own
 */
export function formatTemplates(templates: BounceTemplates, from: string): string {
  return TEMPLATE_KINDS.map((kind) => {
    const { charset, subject, postmasterSubject, text, ...own } = templates[kind];
    const headers = [
      `Charset: ${charset}`,
      `From: ${own.from || from}`,
      `Subject: ${subject}`,
      ...(postmasterSubject === "" ? [] : [`Postmaster-Subject: ${postmasterSubject}`]),
    ];
    return `${kind}_template = <<EOF\n${[...headers, "", ...text].join("\n")}\nEOF\n`;
  }).join("\n");
}

/** The texts with `$name` replaced, as `postconf -b` shows them. */
export function formatTexts(templates: BounceTemplates): string {
  return TEMPLATE_KINDS.map((kind) =>
    `expanded_${kind}_text = <<EOF\n${templates[kind].text.join("\n")}\nEOF\n`
  ).join("\n");
}
