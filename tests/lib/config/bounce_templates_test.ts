/** The texts of notifications: built-in ones, template files, expansion. @module */
import assert from "node:assert/strict";
import {
  BUILT_IN_TEMPLATES,
  expandTemplates,
  formatTemplates,
  formatTexts,
  parseTemplates,
  TemplateError,
  templateTime,
} from "../../../lib/config/bounce_templates.ts";
import { runProgram } from "../../support/postern.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { load, loadGood, MASTER } from "./fixture.ts";

const STANDARD_FROM = "Mail Delivery System <MAILER-DAEMON>";

Deno.test("what is printed as a template file reads as the same templates", () => {
  const printed = formatTemplates(BUILT_IN_TEMPLATES, STANDARD_FROM);
  const from = (kind: keyof typeof BUILT_IN_TEMPLATES) => ({
    ...BUILT_IN_TEMPLATES[kind],
    from: STANDARD_FROM,
  });
  assert.deepEqual(parseTemplates(printed), {
    failure: from("failure"),
    delay: from("delay"),
    success: from("success"),
    verify: from("verify"),
  });
});

Deno.test("a file replaces the templates and headers that it has, and no others", () => {
  const templates = parseTemplates("# c\n\ndelay_template = <<X\nSUBJECT:  Late \n\nText\n  EOF\n\nX\n \n");
  assert.deepEqual(templates, {
    ...BUILT_IN_TEMPLATES,
    delay: { ...BUILT_IN_TEMPLATES.delay, subject: "Late", text: ["Text", "  EOF", ""] },
  });
});

Deno.test("a template without headers begins with its text, one without text has none", () => {
  const text = (lines: string) => parseTemplates(`failure_template = <<E\n${lines}E\n`).failure.text;
  assert.deepEqual(text("Dear sender,\nsorry: no\n"), ["Dear sender,", "sorry: no"]);
  assert.deepEqual(text("\nFrom: is text here\n"), ["From: is text here"]);
  assert.deepEqual(text("Subject: s\n"), []);
  assert.deepEqual(text("Subject: s\n\n"), []);
});

const WRONG: readonly (readonly [file: string, line: number, why: RegExp])[] = [
  ["failure_template\n", 1, /expected "name_template = <<EOF"/],
  ["\n\nfail_template = <<E\nE\n", 3, /unknown template name "fail_template"/],
  ["failure_template = E\nE\n", 1, /expected "<<EOF"/],
  ["failure_template = <<\nE\n", 1, /bad word/],
  ["failure_template = <<'E'\nE\n", 1, /bad word/],
  ["failure_template = <<E\ntext\n", 1, /end mark "E" is missing/],
  ["failure_template = <<E\nE \n", 1, /end mark "E" is missing/],
  ["failure_template = <<E\nE\nfailure_template = <<E\nE\n", 3, /there twice/],
  ["failure_template = <<E\nReply-To: x\n\nE\n", 2, /unknown template header "Reply-To"/],
  ["failure_template = <<E\nSubject: \u00e9\n\nE\n", 2, /must be ASCII/],
  ["failure_template = <<E\nSubject:\n\nE\n", 2, /must be ASCII text/],
  ["failure_template = <<E\nSubject: x\n\na\n\u00e9\nE\n", 5, /needs a Charset: header/],
];

for (const [file, line, why] of WRONG) {
  Deno.test(`a template file ${JSON.stringify(file)} is wrong in line ${line}`, () => {
    assert.throws(
      () => parseTemplates(file),
      (error) => error instanceof TemplateError && error.line === line && why.test(error.message),
    );
  });
}

Deno.test("text outside ASCII is taken with a character set", () => {
  const { charset, text } =
    parseTemplates("success_template = <<E\nCharset: utf-8\n\ngr\u00fc\u00dfe\nE\n").success;
  assert.deepEqual([charset, text], ["utf-8", ["gr\u00fc\u00dfe"]]);
});

Deno.test("names with a unit of time", () => {
  assert.deepEqual(templateTime("delay_warning_time_hours"), { parameter: "delay_warning_time", unit: 3600 });
  assert.deepEqual(templateTime("maximal_queue_lifetime_weeks"), {
    parameter: "maximal_queue_lifetime",
    unit: 604800,
  });
  assert.equal(templateTime("delay_warning_time"), undefined);
  assert.equal(templateTime("delay_warning_time_years"), undefined);
  assert.equal(templateTime("bounce_queue_lifetime_days"), undefined);
});

Deno.test("every $name in a text is replaced, $$ is a dollar, headers stay as they are", () => {
  const templates = parseTemplates("verify_template = <<E\nSubject: $x\n\n$x ${x} $$x\nE\n");
  const { verify, failure } = expandTemplates(templates, (name) => `<${name}>`);
  assert.deepEqual([verify.subject, verify.text], ["$x", ["<x> <x> $x"]]);
  assert.equal(failure.text[0], "This is the mail system at host <myhostname>.");
});

const FILE = "/c/bounce.cf";

Deno.test("the configuration holds the texts of the file, expanded", () => {
  const main =
    `bounce_template_file = "${FILE}"\ndelay_warning_time = "2h"\nmyhostname = "h.test"\n[variables]\nsite = "S"\n`;
  const text = "delay_template = <<E\n\n$site $delay_warning_time_minutes $myhostname\nE\n";
  const { settings, listFiles } = loadGood(main, MASTER, { [FILE]: text });
  assert.deepEqual(settings.bounce_template_file.delay.text, ["S 120 h.test"]);
  assert.equal(settings.bounce_template_file.failure.text[0], "This is the mail system at host h.test.");
  assert.deepEqual(listFiles, [{ path: FILE, parameter: "bounce_template_file" }]);
});

const FAULTY: readonly (readonly [what: string, files: Readonly<Record<string, string>>, message: RegExp])[] =
  [
    ["is not there", {}, /Cannot read "\/c\/bounce\.cf": no such file/],
    ["is malformed", { [FILE]: "x\n" }, /\/c\/bounce\.cf:1: expected "name_template = <<EOF"/],
    ["names what nobody knows", { [FILE]: "delay_template = <<E\n\n$nope\nE\n" }, /"\$nope" is neither/],
    ["has a lone $", { [FILE]: "delay_template = <<E\n\n5 $ \nE\n" }, /a dollar sign is "\$\$"/],
  ];

for (const [what, files, message] of FAULTY) {
  Deno.test(`a template file that ${what} is an error of the configuration`, () => {
    const { configuration, problems } = load(`bounce_template_file = "${FILE}"\n`, MASTER, files);
    assert.equal(configuration, undefined);
    assert.deepEqual(problems.map(({ file, line }) => [file, line]), [["/c/main.toml", 1]]);
    assert.match(problems[0]!.text, message);
  });
}

testNeeding(["postfix"], "the built-in texts are Postfix's, as its postconf prints them", async () => {
  using directory = new TemporaryDirectory();
  Deno.writeTextFileSync(directory.at("main.cf"), "compatibility_level = 3.6\nmyhostname = mx.test\n");
  Deno.writeTextFileSync(directory.at("master.cf"), "");
  const postconf = async (option: string) =>
    (await runProgram("/usr/sbin/postconf", ["-c", directory.path, option])).output;
  const { settings } = loadGood('myhostname = "mx.test"\n');
  assert.equal(formatTemplates(BUILT_IN_TEMPLATES, STANDARD_FROM), await postconf("-t"));
  assert.equal(formatTexts(settings.bounce_template_file), await postconf("-b"));
});
