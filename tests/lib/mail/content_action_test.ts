import assert from "node:assert/strict";
import {
  MESSAGE_ACTIONS,
  parseContentAction,
  rejectReason,
  TEXT_ACTIONS,
} from "../../../lib/mail/content_action.ts";
import { utf8 } from "../../support/bytes.ts";

const ALL = [...TEXT_ACTIONS, ...MESSAGE_ACTIONS];

Deno.test("the result of a table is an action and its text, or why it is none", () => {
  for (
    const [value, header, expected] of [
      ["WARN  two words ", true, "WARN|two words "],
      ["warn", true, "WARN|"],
      ["REPLACE X: y", true, "REPLACE|X: y"],
      [
        "REPLACE no header",
        true,
        'bad REPLACE header text "no header" in t map -- need "headername: headervalue"',
      ],
      ["REPLACE no header", false, "REPLACE|no header"],
      ["PREPEND", false, "PREPEND action without text in t map"],
      ["FILTER", true, "missing FILTER command argument in t map"],
      ["FILTER smtp", true, "bad FILTER command smtp in t -- need transport:destination"],
      ["FILTER smtp:[h]:25", true, "FILTER|smtp:[h]:25"],
      ["REDIRECT a", true, 'bad REDIRECT target "a" in t map -- need user@domain'],
      ["BCC a@b", true, "BCC|a@b"],
      ["BCC a@b\x07", true, "BCC action with text that is too long or has control characters in t map"],
      [
        `REDIRECT a@${"b".repeat(1000)}`,
        true,
        "REDIRECT action with text that is too long or has control characters in t map",
      ],
      ["DELAY 5", true, "unknown command in t map: DELAY 5"],
      ["REJECTED", true, "unknown command in t map: REJECTED"],
    ] as const
  ) {
    const action = parseContentAction(utf8(value), ALL, header, "t");
    assert.equal(action.kind === "action" ? `${action.name}|${action.text}` : action.why, expected);
  }
});

Deno.test("clients have the actions that change text only", () => {
  for (const name of MESSAGE_ACTIONS) {
    assert.equal(parseContentAction(utf8(`${name} a@b:c`), TEXT_ACTIONS, true, "t").kind, "bad");
  }
});

Deno.test("a rejection has a status code, and only 4 and 5 are ones", () => {
  for (
    const [text, reason, soft, bad] of [
      ["", "5.7.1 message content rejected", false, false],
      ["no", "5.7.1 no", false, false],
      ["5.1.2 no", "5.1.2 no", false, false],
      ["4.1.2 later", "4.1.2 later", true, false],
      ["2.0.0 odd", "4.0.0 odd", true, true],
      ["5.1.2345 no code", "5.7.1 5.1.2345 no code", false, false],
      ["5.1.x no code", "5.7.1 5.1.x no code", false, false],
    ] as const
  ) assert.deepEqual(rejectReason(text), { reason, soft, bad }, text);
});
