/** Lists of filters and of macros, as the configuration writes them. @module */
import assert from "node:assert/strict";
import { macroDefaults, macroLists } from "../../../lib/milter/milter_macro.ts";
import {
  MilterRuleError,
  type MilterSettings,
  milterTargets,
  parseMilterProtocol,
  parseMilters,
  parseMilterText,
} from "../../../lib/milter/milter_rule.ts";

const SETTINGS: MilterSettings = {
  milter_command_timeout: 30,
  milter_connect_timeout: 20,
  milter_content_timeout: 300,
  milter_default_action: "tempfail",
  milter_protocol: "6",
};

Deno.test("a filter is an endpoint, and what is not said of it is said of all", () => {
  const [inet, unix, local] = parseMilters(["inet:127.0.0.1:8891", "unix:/a/b", "local:/c"], SETTINGS);
  assert.deepEqual(inet, {
    name: "inet:127.0.0.1:8891",
    target: { kind: "inet", host: "127.0.0.1", port: 8891 },
    connectTimeout: 20_000,
    commandTimeout: 30_000,
    contentTimeout: 300_000,
    defaultAction: "tempfail",
    protocol: { version: 6, muteHeaders: false },
  });
  assert.deepEqual(unix!.target, { kind: "unix", path: "/a/b" });
  assert.deepEqual(local!.target, { kind: "unix", path: "/c" });
});

Deno.test("settings in braces are the filter's own", () => {
  const item = "{ inet:[::1]:1, connect_timeout=1s command_timeout=2m, content_timeout = 3h }".replace(
    " = ",
    "=",
  );
  const [rule] = parseMilters(
    [item.replace("}", "default_action=accept { protocol = 2 no_header_reply } }")],
    SETTINGS,
  );
  assert.deepEqual(rule, {
    name: "inet:[::1]:1",
    target: { kind: "inet", host: "::1", port: 1 },
    connectTimeout: 1000,
    commandTimeout: 120_000,
    contentTimeout: 10_800_000,
    defaultAction: "accept",
    protocol: { version: 2, muteHeaders: true },
  });
});

Deno.test("a table's value may name several filters", () => {
  const rules = parseMilterText("inet:a:1, { unix:/b default_action=accept }", SETTINGS);
  assert.deepEqual(rules.map(({ name, defaultAction }) => [name, defaultAction]), [
    ["inet:a:1", "tempfail"],
    ["unix:/b", "accept"],
  ]);
  assert.deepEqual(milterTargets("inet:a:1, { unix:/b default_action=accept }"), [
    { kind: "inet", host: "a", port: 1 },
    { kind: "unix", path: "/b" },
  ]);
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ["localhost:1", /neither/],
  ["inet:localhost", /neither/],
  ["inet:8891@localhost", /neither/],
  ["inet:a:70000", /neither/],
  ["unix:relative", /neither/],
  ["{ }", /empty milter definition/],
  ["{ inet:a:1 timeout=1s }", /unexpected setting/],
  ["{ inet:a:1 connect_timeout=x }", /bad connect_timeout/],
  ["{ inet:a:1 connect_timeout=0 }", /bad connect_timeout/],
  ["{ inet:a:1 default_action=ignore }", /unrecognized default action/],
  ["{ inet:a:1 protocol=5 }", /bad protocol/],
  ["{ inet:a:1", /missing '}'/],
];

for (const [item, why] of BAD) {
  Deno.test(`a filter is refused: ${item}`, () => {
    assert.throws(() => parseMilters([item], SETTINGS), (error) => {
      assert.ok(error instanceof MilterRuleError);
      assert.match(error.message, why);
      return true;
    });
  });
}

Deno.test("twenty filters are a list, one more is too many", () => {
  const items = Array.from({ length: 20 }, (_, i) => `inet:a:${i + 1}`);
  assert.equal(parseMilters(items, SETTINGS).length, 20);
  assert.throws(() => parseMilters([...items, "inet:a:21"], SETTINGS), /more than 20/);
});

Deno.test("a protocol is a version, perhaps for filters that do not answer headers", () => {
  assert.deepEqual(parseMilterProtocol("4"), { version: 4, muteHeaders: false });
  assert.deepEqual(parseMilterProtocol("no_header_reply, 3"), { version: 3, muteHeaders: true });
  for (const text of ["", "5", "1", "7", "2 3", "x"]) {
    assert.throws(() => parseMilterProtocol(text), MilterRuleError);
  }
});

Deno.test("names of macros stand in braces unless they are one character", () => {
  const empty = {
    milter_connect_macros: ["j", "{daemon_name}", "client_addr", "{v}"],
    milter_helo_macros: [],
    milter_mail_macros: [],
    milter_rcpt_macros: [],
    milter_data_macros: [],
    milter_end_of_header_macros: [],
    milter_end_of_data_macros: [],
    milter_unknown_command_macros: [],
  };
  assert.deepEqual(macroLists(empty).connect, ["j", "{daemon_name}", "{client_addr}", "v"]);
  assert.deepEqual([...macroDefaults(["a=1", "{made_up}=2", "other = 3", "=4", "{ x = y }"])], [
    ["a", "1"],
    ["{made_up}", "2"],
    ["{other}", "3"],
    ["x", "y"],
  ]);
});
