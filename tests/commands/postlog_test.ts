import assert from "node:assert/strict";
import { formatLine, type LineForm } from "../../commands/postlog.ts";
import { ScratchSystem } from "./command_support.ts";

const FORM: LineForm = {
  format: "postfix",
  syslogName: "postfix",
  hostName: "host",
  tag: "script",
  prefix: "",
  level: "info",
};

Deno.test("a line has the form of the daemons' lines", () => {
  const line = formatLine("hello", FORM, new Date(2026, 10, 3, 5, 6, 2).getTime(), 17);
  assert.equal(line, "Nov  3 05:06:02 host postfix/script[17]: hello\n");
});

Deno.test("text with line feeds and escapes stays one printable line", () => {
  const line = formatLine("a\nNov  3 05:06:02 host postfix/smtpd[1]: \x1b[31mforged", FORM, 0, 1);
  assert.equal(line.split("\n").length, 2);
  assert.ok(!line.includes("\x1b"));
});

Deno.test("JSON lines hold the priority", () => {
  const line = formatLine("x", { ...FORM, format: "json", level: "warn" }, 0, 5);
  assert.deepEqual(JSON.parse(line), {
    time: "1970-01-01T00:00:00.000Z",
    host: "host",
    program: "postfix/script",
    pid: 5,
    level: "warn",
    message: "x",
  });
});

Deno.test("text of the command line goes to the log file, else each line of standard input; without a file to standard error", async () => {
  using system = new ScratchSystem();
  const log = `${system.queue.root}/log/mail.log`;
  const first = await system.run("postlog", ["-t", "job", "-p", "warn", "two", "words"]);
  assert.equal(first.status, 0);
  assert.match(first.err, /postfix\/job\[\d+\]: warning: two words\n$/);
  Deno.writeTextFileSync(log, "");
  const second = await system.run("postlog", [], "one\ntwo");
  assert.deepEqual(second, { status: 0, out: "", err: "" });
  assert.deepEqual(Deno.readTextFileSync(log).split("\n").map((line) => line.split("]: ")[1]), [
    "one",
    "two",
    undefined,
  ]);
  const wrong = await system.run("postlog", ["-p", "loud", "x"]);
  assert.equal(wrong.status, 64);
});
