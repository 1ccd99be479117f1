/**
 * The inputs of the security cases: text with macros in braces, made into steps. Not a test itself.
 *
 * `{E}` EHLO, `{M}` MAIL, `{R}` RCPT, `{D}` all of them and DATA, each with its reply awaited; `{H}` three headers and
 * an empty line; `{EOD}` the end of data; `{|}` send and wait for all replies; `{/}` send as a segment of its own;
 * `{REP:x:n}` repetition; `{PADTO:n}` pads what is to be sent to n bytes; `{HEX:..}` bytes; `{CLOSE}` the client goes.
 *
 * @module
 */
import { concat, utf8 } from "../support/bytes.ts";

/** What a client does next. */
export type Step =
  | { readonly kind: "send"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Waits until nothing more comes. */
  | { readonly kind: "wait" }
  /** Says a command that must succeed. */
  | { readonly kind: "say"; readonly line: string; readonly code: string }
  | { readonly kind: "close" };

const HEADERS = "From: a@ext.test\r\nTo: alice@local.test\r\nSubject: test\r\n\r\n";
const EHLO: Step = { kind: "say", line: "EHLO c.test", code: "250" };
const MAIL: Step = { kind: "say", line: "MAIL FROM:<a@ext.test>", code: "250" };
const RCPT: Step = { kind: "say", line: "RCPT TO:<alice@local.test>", code: "250" };
const DATA: Step = { kind: "say", line: "DATA", code: "354" };

const COMMANDS: Readonly<Record<string, readonly Step[]>> = {
  E: [EHLO],
  M: [MAIL],
  R: [RCPT],
  D: [EHLO, MAIL, RCPT, DATA],
};

/** Reads an input. */
export function parseScript(input: string): Step[] {
  const steps: Step[] = [];
  let pending: Uint8Array[] = [];
  const flush = () => {
    if (pending.length > 0) steps.push({ kind: "send", bytes: concat(...pending) });
    pending = [];
  };
  const walk = (text: string) => {
    for (let at = 0; at < text.length;) {
      const end = text[at] === "{" ? macroEnd(text, at) : -1;
      if (end < 0) {
        const next = text.indexOf("{", at + 1);
        const stop = next < 0 ? text.length : next;
        pending.push(utf8(text.slice(at, stop)));
        at = stop;
        continue;
      }
      macro(text.slice(at + 1, end));
      at = end + 1;
    }
  };
  const macro = (body: string) => {
    const commands = COMMANDS[body];
    if (commands !== undefined) {
      flush();
      steps.push(...commands);
    } else if (body === "H") pending.push(utf8(HEADERS));
    else if (body === "EOD") pending.push(utf8("\r\n.\r\n"));
    else if (body === "|") {
      flush();
      steps.push({ kind: "wait" });
    } else if (body === "/") flush();
    else if (body === "CLOSE") {
      flush();
      steps.push({ kind: "close" });
    } else if (body.startsWith("HEX:")) {
      pending.push(Uint8Array.from(body.slice(4).match(/../g)!, (hex) => parseInt(hex, 16)));
    } else if (body.startsWith("PADTO:")) {
      pending.push(utf8("p".repeat(Number(body.slice(6)) - concat(...pending).length)));
    } else if (body.startsWith("REP:")) repeat(body.slice(4));
    else throw new Error(`macro {${body}} is not known`);
  };
  const repeat = (body: string) => {
    const colon = body.lastIndexOf(":");
    const count = Number(body.slice(colon + 1));
    const text = body.slice(0, colon);
    if (text.includes("{")) { for (let i = 0; i < count; i++) walk(text); }
    else pending.push(utf8(text.repeat(count)));
  };
  walk(input);
  flush();
  return steps;
}

/** Index of the brace that closes the macro at `from`, or -1 when there is no macro. */
function macroEnd(text: string, from: number): number {
  if (!/^\{([EMRDH|/]\}|EOD\}|CLOSE\}|HEX:|REP:|PADTO:)/.test(text.slice(from, from + 8))) return -1;
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  return -1;
}
