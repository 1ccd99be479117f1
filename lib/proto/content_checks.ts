/**
 * Look-ups of a message's headers and body lines in the tables of header_checks(5), for cleanup and the clients.
 *
 * The tables are with proxymap, as all tables of programs that open no file of the configuration; a pattern that is
 * made to match slowly holds up proxymap's other work a few milliseconds at a time, and the program's own not at all.
 * A look-up for each line would cost a round trip each. So a piece of the message is read first and then asked about
 * at once: one round trip for most messages, which is little beside the matching.
 *
 * @module
 */
import { isNamed } from "../mail/header.ts";
import type { HeaderClass } from "../mail/mime_structure.ts";
import type { LineLookup } from "./proxymap_client.ts";

/** What a table of checks is about. */
export type CheckClass = HeaderClass | "body";

/** Which checks there are. */
export interface CheckRules {
  /** The parameter with the tables of each class that has some. */
  readonly checks: ReadonlyMap<CheckClass, string>;
  /** Bytes at the beginning of each body that are looked at. */
  readonly bodyCheckSize: number;
}

/** One thing that was read of a message. */
export type ContentEvent =
  | { readonly kind: "header"; readonly field: Uint8Array; readonly where: HeaderClass }
  | { readonly kind: "headerEnd"; readonly separated: boolean }
  | { readonly kind: "line"; readonly data: Uint8Array; readonly endsLine: boolean; readonly offset: number };

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

/** The parameter whose tables an event is looked up in; undefined for none. */
export function parameterOf(event: ContentEvent, rules: CheckRules): string | undefined {
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
  rules: CheckRules,
  lookup: LineLookup,
): Promise<CheckValues> {
  const asked = new Map<string, { readonly lines: Uint8Array[]; readonly events: number[] }>();
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
