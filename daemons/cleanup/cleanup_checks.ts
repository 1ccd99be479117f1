/**
 * Checks of content: what the tables of header_checks and its like say of a header or a line of the body is done
 * (postfix-map section 7.5).
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import {
  type ContentAction,
  MESSAGE_ACTIONS,
  parseContentAction,
  rejectReason,
  TEXT_ACTIONS,
} from "../../lib/mail/content_action.ts";
// Server skeleton
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import { type ContentEvent, parameterOf } from "../../lib/proto/content_checks.ts";
// This program
import type { MessageState } from "./cleanup_state.ts";

/** What a check leaves of a header or line. */
export type Checked =
  | { readonly kind: "keep" }
  | { readonly kind: "drop" }
  | { readonly kind: "replace"; readonly bytes: Uint8Array }
  | { readonly kind: "prepend"; readonly bytes: Uint8Array };

/** The text stays as it is. */
export const KEEP: Checked = { kind: "keep" };
const DROP: Checked = { kind: "drop" };
const ACTIONS = [...TEXT_ACTIONS, ...MESSAGE_ACTIONS];

/** Does what a table says of a header or line, and tells what is left of it. */
export function actOnContent(state: MessageState, event: ContentEvent, value: Uint8Array): Checked {
  if (event.kind === "headerEnd") return KEEP;
  const header = event.kind === "header";
  const content = header ? event.field : event.data;
  const parameter = parameterOf(event, state.rules.inspection!)!;
  return act(state, { content, header, parameter, prefix: "" }, value);
}

/** The same for a header that a filter has made; the log's words for what is done begin with `prefix`. */
export function actOnHeader(
  state: MessageState,
  { field, parameter, prefix }: {
    readonly field: Uint8Array;
    readonly parameter: string;
    readonly prefix: string;
  },
  value: Uint8Array,
): Checked {
  return act(state, { content: field, header: true, parameter, prefix }, value);
}

/** What is looked at, and how the log speaks of it. */
interface Subject {
  readonly content: Uint8Array;
  readonly header: boolean;
  readonly parameter: string;
  readonly prefix: string;
}

function act(state: MessageState, subject: Subject, value: Uint8Array): Checked {
  const { content, header, parameter, prefix } = subject;
  const action = parseContentAction(value, ACTIONS, header, parameter);
  if (action.kind === "bad") {
    state.log.warning(`${state.queueId}: ${printable(action.why)}`);
    return KEEP;
  }
  const log = (name: string, text = action.text) =>
    state.logContent(`${prefix}${name}`, header ? "header" : "body", content, text);
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
        state.log.warning(
          `bad DSN action in ${parameter} map entry "${printable(text)}" -- need 4.x.x or 5.x.x`,
        );
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
