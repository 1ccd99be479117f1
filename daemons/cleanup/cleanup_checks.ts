/**
 * Checks of content: headers and lines of the body are looked up in the tables of header_checks and its like, many at
 * a time, and what the tables say is done (postfix-map section 7.5).
 *
 * The tables are with proxymap, as all tables that cleanup uses: it may open no file, and a pattern from a table that
 * is made to match slowly holds up proxymap's other work a few milliseconds at a time and cleanup's not at all. A look-up
 * for each line would cost a round trip each; so a chunk of records is read first, and then asked about at once: one
 * round trip for most messages, which is little beside the matching.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { type ContentAction, MESSAGE_ACTIONS, parseContentAction, rejectReason, TEXT_ACTIONS } from "../../lib/mail/content_action.ts";
import type { HeaderClass } from "../../lib/mail/mime_structure.ts";
import { isNamed } from "../../lib/mail/header.ts";
// Server skeleton
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import type { LineLookup } from "../../lib/proto/proxymap_client.ts";
// This program
import type { CheckParameter, InspectionRules } from "./cleanup_rules.ts";
import type { MessageState } from "./cleanup_state.ts";

/** One thing that was read of a message. */
export type ContentEvent =
  | { readonly kind: "header"; readonly field: Uint8Array; readonly where: HeaderClass }
  | { readonly kind: "headerEnd"; readonly separated: boolean }
  | { readonly kind: "line"; readonly data: Uint8Array; readonly endsLine: boolean; readonly offset: number };

/** What a check leaves of a header or line. */
export type Checked =
  | { readonly kind: "keep" }
  | { readonly kind: "drop" }
  | { readonly kind: "replace"; readonly bytes: Uint8Array }
  | { readonly kind: "prepend"; readonly bytes: Uint8Array };

export const KEEP: Checked = { kind: "keep" };
const DROP: Checked = { kind: "drop" };
const ACTIONS = [...TEXT_ACTIONS, ...MESSAGE_ACTIONS];

/** Headers that mime_header_checks is about, also where they stand in the message's own header. */
const MIME_HEADERS = [
  "content-description",
  "content-disposition",
  "content-id",
  "content-transfer-encoding",
  "content-type",
  "mime-version",
];

/** The tables' values for events, by the event's index; or why there are none. */
export type CheckValues =
  | { readonly kind: "values"; readonly values: ReadonlyMap<number, Uint8Array> }
  | { readonly kind: "retry"; readonly why: string };

/** Which tables an event is looked up in; undefined for none. */
function parameterOf(event: ContentEvent, rules: InspectionRules): CheckParameter | undefined {
  switch (event.kind) {
    case "header":
      return rules.checks.get(classOf(event.field, event.where));
    case "line":
      return event.offset < rules.bodyCheckSize ? rules.checks.get("body") : undefined;
    case "headerEnd":
      return undefined;
    default:
      return event satisfies never;
  }
}

function classOf(field: Uint8Array, where: HeaderClass): HeaderClass {
  return MIME_HEADERS.some((name) => isNamed(field, name)) ? "multipart" : where;
}

/** Looks events up, all those of one parameter in one request. */
export async function lookUpEvents(
  events: readonly ContentEvent[],
  rules: InspectionRules,
  lookup: LineLookup,
): Promise<CheckValues> {
  const asked = new Map<CheckParameter, { readonly lines: Uint8Array[]; readonly events: number[] }>();
  events.forEach((event, index) => {
    const parameter = parameterOf(event, rules);
    if (parameter === undefined) return;
    let list = asked.get(parameter);
    if (list === undefined) asked.set(parameter, list = { lines: [], events: [] });
    list.lines.push(event.kind === "header" ? event.field : event.kind === "line" ? event.data : NOTHING);
    list.events.push(index);
  });
  const values = new Map<number, Uint8Array>();
  const outcomes = await Promise.all(
    [...asked].map(async ([parameter, { lines, events }]) => {
      const outcome = await lookup.findLines(parameter, lines);
      if (outcome.kind === "retry") return `${parameter} map lookup problem: ${outcome.why}`;
      for (const [line, value] of outcome.values) values.set(events[line]!, value);
      return undefined;
    }),
  );
  const why = outcomes.find((outcome) => outcome !== undefined);
  return why === undefined ? { kind: "values", values } : { kind: "retry", why };
}

const NOTHING = new Uint8Array(0);

/** Does what a table says of a header or line, and tells what is left of it. */
export function actOnContent(state: MessageState, event: ContentEvent, value: Uint8Array): Checked {
  if (event.kind === "headerEnd") return KEEP;
  const header = event.kind === "header";
  const content = header ? event.field : event.data;
  const parameter = parameterOf(event, state.rules.inspection!)!;
  const action = parseContentAction(value, ACTIONS, header, parameter);
  if (action.kind === "bad") {
    state.log.warning(`${state.queueId}: ${printable(action.why)}`);
    return KEEP;
  }
  const log = (name: string, text = action.text) =>
    state.logContent(name, header ? "header" : "body", content, text);
  switch (action.name) {
    case "DUNNO":
    case "OK":
      return KEEP;
    case "IGNORE":
      return DROP;
    case "STRIP":
      log("strip");
      return DROP;
    case "INFO":
      log("info");
      return KEEP;
    case "WARN":
      log("warning");
      return KEEP;
    case "REPLACE":
      log("replace");
      return { kind: "replace", bytes: action.bytes };
    case "PREPEND":
      log("prepend");
      return { kind: "prepend", bytes: action.bytes };
    default:
      decide(state, action.name, action, log, parameter);
      return KEEP;
  }
}

/** The actions that decide about the message. */
function decide(
  state: MessageState,
  name: (typeof MESSAGE_ACTIONS)[number],
  { text }: Extract<ContentAction, { kind: "action" }>,
  log: (action: string, text?: string) => void,
  parameter: string,
): void {
  switch (name) {
    case "BCC":
      state.copyTo(text);
      return log("bcc");
    case "FILTER":
      state.filter = text;
      return log("filter");
    case "HOLD":
      if (!state.has(CLEANUP_FLAG.HOLD)) log("hold");
      state.flags |= CLEANUP_FLAG.HOLD;
      return;
    case "DISCARD":
      log("discard");
      state.flags |= CLEANUP_FLAG.DISCARD;
      break;
    case "PASS":
      log("pass");
      break;
    case "REDIRECT":
      state.redirect = text;
      log("redirect");
      break;
    case "REJECT": {
      const { reason, soft, bad } = rejectReason(text);
      if (bad) {
        state.log.warning(`bad DSN action in ${parameter} map entry "${printable(text)}" -- need 4.x.x or 5.x.x`);
      }
      log("reject", reason);
      if (soft) state.fail(CLEANUP_STATUS.DEFER, reason, true);
      else state.refuse(CLEANUP_STATUS.CONTENT, reason, true);
      break;
    }
    default:
      name satisfies never;
  }
  state.flags &= ~CLEANUP_FLAG.FILTER;
}
