/**
 * The results of access(5) tables and the answers of policy servers: what is done.
 */
// Utility
import { asciiUpper, isDigit, splitBlanks, trimBlanks } from "../vstring/ascii.ts";
// Mail
import { headerNameLength } from "../mail/header.ts";
import { splitStatus } from "../mail/status_code.ts";
import { encodeText } from "../vstring/byte_builder.ts";
// Access
import {
  type AccessSettings,
  DUNNO,
  type Effect,
  fault,
  OK,
  type Question,
  reject,
  type Verdict,
} from "./policy.ts";
import { refusal, type ReplyText, shown } from "./reply.ts";
import { fitStatus, rejected, type Subject } from "./subject.ts";

/** Longest address or destination, UTF-16 units: what an envelope has room for. */
const TARGET_LIMIT = 1000;
/** Longest header that a rule may add, UTF-16 units. */
const HEADER_LIMIT = 2000;

/** Where an action comes from, and what it is about. */
export interface ActionContext {
  readonly settings: AccessSettings;
  readonly subject: Subject;
  readonly question: Question;
  /** "access table texthash:/x", for warnings. */
  readonly source: string;
  warning(text: string): void;
}

/** What a result asks for; what cannot be understood is a soft refusal, never a permission. */
export function accessVerdict(value: string, context: ActionContext): Verdict {
  const blank = firstBlank(value);
  const word = value.slice(0, blank);
  const text = trimBlanks(value.slice(blank));
  const action = ACTIONS.get(asciiUpper(word));
  if (action !== undefined) return action(text, context);
  if (isReplyCode(word) && text !== "") return reject(refuse(Number(word), "7.1", text, "", context));
  if (isNumber(value)) return OK; // as programs write it that let clients in for a while
  return runWords(value, context);
}

/** Restrictions by their names. */
function runWords(value: string, { source, warning }: ActionContext): Verdict {
  const words = splitBlanks(value, true);
  // A table has to be open before it is asked, and only the configuration says which ones are.
  const table = words.find((one) => one.includes(":"));
  if (table === undefined && words.length > 0) return { kind: "run", words };
  warning(
    table === undefined
      ? `${source} has an empty value`
      : `${source} has entry with lookup table: ${shown(table)}`,
  );
  return fault();
}

type Action = (text: string, context: ActionContext) => Verdict;

/** Answers with a reply: its code, the end of its status code unless the text begins with one, the text if there is none. */
function refuse(
  code: number,
  status: string,
  text: string,
  otherwise: string,
  { subject, question }: ActionContext,
): ReplyText {
  const split = splitStatus(text, `${String(code)[0]}.${status}`);
  const words = rejected(subject, question, shown(split.text) || otherwise);
  return refusal(code, fitStatus(split.status, subject), words);
}

/** Only logged. */
function tell(word: string): Action {
  return (text, { subject, question }) => ({
    kind: "act",
    word,
    text: about(subject, question, text === "" ? `triggers ${asciiUpper(word)} action` : shown(text)),
  });
}

/** Done to the message as a whole. */
function whole(kind: "discard" | "hold"): Action {
  return (text, context) => {
    if (!mayAct(asciiUpper(kind), context)) return DUNNO;
    const { subject, question } = context;
    const words = text === "" ? `triggers ${asciiUpper(kind)} action` : shown(text);
    return { kind: "act", word: kind, text: about(subject, question, words), effect: { kind } };
  };
}

/** Done to the message with what the result names; `flaw` says what is wrong with that. */
function named(kind: "bcc" | "filter" | "redirect", flaw: (text: string) => string | undefined): Action {
  return (text, context) => {
    const name = asciiUpper(kind);
    if (!mayAct(name, context)) return DUNNO;
    const wrong = flaw(text) ?? (isTarget(text) ? undefined : "has a text that is too long or not printable");
    if (wrong !== undefined) {
      return warned(`${context.source} entry "${name} ${shown(text)}" ${wrong}`, context);
    }
    const { subject, question } = context;
    const words = about(subject, question, `triggers ${name} ${text}`);
    return { kind: "act", word: kind, text: words, effect: { kind, text } };
  };
}

function prepend(text: string, context: ActionContext): Verdict {
  const { source, question } = context;
  if (!mayAct("PREPEND", context)) return DUNNO;
  if (question.stage === "END-OF-MESSAGE") {
    return warned(`${source}: action PREPEND must be used before END-OF-MESSAGE`, context);
  }
  if (text === "") return warned(`${source} entry "PREPEND" has PREPEND entry without text`, context);
  const bytes = encodeText(text);
  if (text.length > HEADER_LIMIT || headerNameLength(bytes, 0, bytes.length) === 0 || !isPrintable(text)) {
    return warned(`${source} entry "PREPEND ${shown(text)}" requires header: text`, context);
  }
  const effect: Effect = { kind: "prepend", text };
  return { kind: "act", word: "", text: "", effect };
}

const needsDestination = (text: string) =>
  text === ""
    ? "has FILTER entry without value"
    : text.includes(":")
    ? undefined
    : "requires transport:destination";
const needsAddress = (text: string) => text.includes("@") ? undefined : "requires user@domain target";

const ACTIONS: ReadonlyMap<string, Action> = new Map<string, Action>([
  ["OK", () => OK],
  ["PERMIT", () => OK],
  ["DUNNO", () => DUNNO],
  [
    "REJECT",
    (text, context) =>
      reject(refuse(context.settings.access_map_reject_code, "7.1", text, "Access denied", context)),
  ],
  [
    "DEFER",
    (text, context) =>
      reject(refuse(context.settings.access_map_defer_code, "7.1", text, "Access denied", context)),
  ],
  ["DEFER_IF_PERMIT", (text, context) => ({
    kind: "deferIfPermit",
    reply: refuse(context.settings.access_map_defer_code, "7.1", text, "Service unavailable", context),
  })],
  ["DEFER_IF_REJECT", (text, context) => ({
    kind: "deferIfReject",
    reply: refuse(context.settings.access_map_defer_code, "7.1", text, "Service unavailable", context),
  })],
  ["INFO", tell("info")],
  ["WARN", tell("warn")],
  ["DISCARD", whole("discard")],
  ["HOLD", whole("hold")],
  ["BCC", named("bcc", needsAddress)],
  ["FILTER", named("filter", needsDestination)],
  ["REDIRECT", named("redirect", needsAddress)],
  ["PREPEND", prepend],
]);

function about(subject: Subject, question: Question, text: string): string {
  return `<${shown(subject.name(question))}>: ${subject.what} ${text}`;
}

/** There is no message at ETRN and VRFY. */
function mayAct(name: string, { question, source, warning }: ActionContext): boolean {
  if (question.stage === "VRFY") return false;
  if (question.stage !== "ETRN") return true;
  warning(`${source}: action ${name} is unavailable in smtpd_etrn_restrictions`);
  return false;
}

function warned(text: string, { warning }: ActionContext): Verdict {
  warning(text);
  return DUNNO;
}

function firstBlank(text: string): number {
  for (let at = 0; at < text.length; at++) if (text[at] === " " || text[at] === "\t") return at;
  return text.length;
}

function isReplyCode(word: string): boolean {
  return word.length === 3 && (word[0] === "4" || word[0] === "5") && isNumber(word);
}

function isNumber(word: string): boolean {
  for (let i = 0; i < word.length; i++) if (!isDigit(word.charCodeAt(i))) return false;
  return word !== "";
}

/** What goes into an envelope has no control characters: they could end a line elsewhere. */
function isTarget(text: string): boolean {
  return text.length <= TARGET_LIMIT && isPrintable(text);
}

function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f) return false;
  }
  return text.isWellFormed();
}
