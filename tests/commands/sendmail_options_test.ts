import assert from "node:assert/strict";
import { parseOptions } from "../../commands/options.ts";
import { SendmailError } from "../../commands/sendmail_error.ts";
import { readSendmailOptions, type SendmailPlan } from "../../commands/sendmail_options.ts";

const OLD_VERP = "option -V is deprecated with Postfix 2.3; specify -XV instead";

const READ: { args: string[]; plan: Partial<SendmailPlan> }[] = [
  {
    args: ["a", "b"],
    plan: { mode: { kind: "deliver" }, recipients: ["a", "b"], dotEnds: true, fromHeaders: false },
  },
  { args: ["-t"], plan: { fromHeaders: true } },
  { args: ["-i", "a"], plan: { dotEnds: false } },
  { args: ["-oi", "a"], plan: { dotEnds: false } },
  { args: ["-ti", "-f", "x@y"], plan: { fromHeaders: true, dotEnds: false, sender: "x@y" } },
  { args: ["-fx@y", "a"], plan: { sender: "x@y", recipients: ["a"] } },
  { args: ["-f", "", "a"], plan: { sender: "", recipients: ["a"] } },
  { args: ["-r", "x@y", "a"], plan: { sender: "x@y" } },
  { args: ["-F", "Full Name", "a"], plan: { fullName: "Full Name" } },
  { args: ["--", "-f", "x"], plan: { sender: undefined, recipients: ["-f", "x"] } },
  { args: ["a", "-f", "x"], plan: { sender: undefined, recipients: ["a", "-f", "x"] } },
  { args: ["-bm", "a"], plan: { mode: { kind: "deliver" } } },
  { args: ["-bs"], plan: { mode: { kind: "smtp" } } },
  { args: ["-bp"], plan: { mode: { kind: "list" } } },
  { args: ["-q"], plan: { mode: { kind: "queue", options: ["-f"] } } },
  { args: ["-qIABC"], plan: { mode: { kind: "queue", options: ["-i", "ABC"] } } },
  { args: ["-qRexample.com"], plan: { mode: { kind: "queue", options: ["-s", "example.com"] } } },
  { args: ["-q30m"], plan: { mode: { kind: "nothing" } } },
  { args: ["-bi"], plan: { mode: { kind: "aliases", database: "" } } },
  { args: ["-I"], plan: { mode: { kind: "aliases", database: "" } } },
  { args: ["-oA/etc/aliases", "-bi"], plan: { mode: { kind: "aliases", database: "" } } },
  { args: ["-bi", "-oA/etc/aliases"], plan: { mode: { kind: "aliases", database: "/etc/aliases" } } },
  { args: ["-bh"], plan: { mode: { kind: "nothing" } } },
  { args: ["-N", "never", "a"], plan: { notify: 1, warnings: [] } },
  { args: ["-N", "success", "a"], plan: { notify: 2 } },
  { args: ["-N", "bogus", "a"], plan: { notify: 0, warnings: ["bad -N option value -- ignored"] } },
  { args: ["-N", "never,delay", "a"], plan: { notify: 0, warnings: ["bad -N option value -- ignored"] } },
  { args: ["-N", "", "a"], plan: { notify: 0, warnings: ["bad -N option value -- ignored"] } },
  { args: ["-R", "hdrs", "a"], plan: { ret: 2 } },
  { args: ["-R", "FULL", "a"], plan: { ret: 1 } },
  { args: ["-R", "constructor", "a"], plan: { ret: 0, warnings: ["bad -R option value -- ignored"] } },
  { args: ["-B", "8bitmime", "a"], plan: { encoding: "8bit" } },
  { args: ["-G", "a"], plan: { gateway: true } },
  { args: ["-XV", "a"], plan: { verp: "", warnings: [], recipients: ["a"] } },
  { args: ["-XV-=", "a"], plan: { verp: "-=", warnings: [] } },
  { args: ["-X", "log", "a"], plan: { verp: undefined, recipients: ["a"] } },
  { args: ["-V+=", "a"], plan: { verp: "+=", envelopeId: "", warnings: [OLD_VERP] } },
  { args: ["-V", "-f", "l@x", "a"], plan: { verp: "", sender: "l@x", warnings: [OLD_VERP] } },
  { args: ["-Vab", "a"], plan: { verp: undefined, envelopeId: "ab" } },
  { args: ["-V", "id", "a"], plan: { verp: undefined, envelopeId: "id" } },
  { args: ["--", "-V+="], plan: { verp: undefined, recipients: ["-V+="], warnings: [] } },
  { args: ["-v", "a"], plan: { reported: true } },
  { args: ["-bv", "-f", "x@y", "a"], plan: { verified: true, mode: { kind: "deliver" }, sender: "x@y" } },
  { args: ["-bv", "-bm", "a"], plan: { verified: false, mode: { kind: "deliver" } } },
  { args: ["a"], plan: { reported: false, verp: undefined } },
  { args: ["-C", "/etc/x", "a"], plan: { configDirectory: "/etc/x" } },
  {
    args: [
      "-oem",
      "-om",
      "-o7",
      "-odb",
      "-Am",
      "-h",
      "3",
      "-L",
      "l",
      "-m",
      "-U",
      "-X",
      "f",
      "-O",
      "x=y",
      "-em",
      "-v",
      "-a",
      "r",
    ],
    plan: { mode: { kind: "deliver" }, recipients: ["r"] },
  },
];

for (const { args, plan } of READ) {
  Deno.test(`sendmail ${JSON.stringify(args.join(" ")).slice(0, 60)} is read`, () => {
    const read = readSendmailOptions(args);
    for (const key of Object.keys(plan) as (keyof SendmailPlan)[]) {
      assert.deepEqual(read[key], plan[key], key);
    }
  });
}

Deno.test("RFC 3461 section 4.4: an envelope id is 1 to 100 printable characters of ASCII", () => {
  const warning = "bad syntax in -V option value -- ignored";
  const read = (value: string) => readSendmailOptions(["-V", value, "a"]);
  for (const good of ["x", "!+=~", "x".repeat(100)]) {
    assert.equal(read(good).envelopeId, good);
    assert.deepEqual(read(good).warnings, []);
  }
  for (const bad of ["", "x".repeat(101), "a b", "a\nb", "a\x7f", "\u00e9"]) {
    assert.equal(read(bad).envelopeId, "", JSON.stringify(bad));
    assert.deepEqual(read(bad).warnings, [warning], JSON.stringify(bad));
  }
});

const WRONG: { args: string[]; text: RegExp }[] = [
  { args: ["-Z"], text: /invalid option -- 'Z'/ },
  { args: ["-f"], text: /requires an argument -- 'f'/ },
  { args: ["-bz"], text: /unsupported: -bz/ },
  { args: ["-bd"], text: /unsupported: -bd/ },
  { args: ["-bv", "-t"], text: /-t option cannot be used with -bv/ },
  { args: ["-N", "never", "-bv", "a"], text: /-N option cannot be used with -bv/ },
  { args: ["-bv", "-R", "full", "a"], text: /-R option cannot be used with -bv/ },
  { args: ["-v", "-bv", "a"], text: /-v option cannot be used with -bv/ },
  { args: ["-b", "\n"], text: /unsupported: -b\?/ },
  { args: ["-B", "binary", "a"], text: /-B option needs 8BITMIME or 7BIT/ },
  { args: ["-n", "a"], text: /-n option not supported/ },
  { args: ["-q", "-t"], text: /-t can be used only in delivery mode/ },
  { args: ["-bs", "-t"], text: /-t can be used only in delivery mode/ },
  { args: ["-qSx"], text: /not implemented/ },
];

for (const { args, text } of WRONG) {
  Deno.test(`sendmail ${JSON.stringify(args.join(" "))} is a wrong command line, status 64`, () => {
    assert.throws(
      () => readSendmailOptions(args),
      (error) => error instanceof SendmailError && error.status === 64 && text.test(error.message),
    );
  });
}

Deno.test("options end at --, at the first operand and at a lone minus", () => {
  const operands = (...args: string[]) => {
    const parsed = parseOptions(args, "ab:");
    return parsed.kind === "parsed" ? parsed.operands : undefined;
  };
  assert.deepEqual(operands("-a", "--", "-a"), ["-a"]);
  assert.deepEqual(operands("-a", "x", "-a"), ["x", "-a"]);
  assert.deepEqual(operands("-", "-a"), ["-", "-a"]);
  assert.deepEqual(operands("-b", "--", "x"), ["x"]);
  assert.deepEqual(operands("-:"), undefined);
});
