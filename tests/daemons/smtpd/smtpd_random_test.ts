import assert from "node:assert/strict";
import { readCommand } from "../../../daemons/smtpd/smtpd_commands.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";
import { MailHost, settled } from "./mail_host.ts";

/** Command lines, and what they are. */
const LINES: readonly (readonly [line: Uint8Array, kind: string, verb?: string, argument?: string])[] = [
  [utf8("NOOP"), "command", "NOOP", ""],
  [utf8("noop x  y "), "command", "NOOP", "x  y"],
  [utf8("\t Mail\tFROM:<a@b> \t"), "command", "MAIL", "FROM:<a@b>"],
  [utf8(""), "empty"],
  [utf8(" \t "), "empty"],
  [utf8("Subject: x"), "header"],
  [utf8("a:b"), "header"],
  [utf8("get x"), "command", "GET", "x"],
  [utf8("GETX"), "command", "GETX", ""],
  [utf8("\u00e9"), "command", "\u00e9", ""],
  [Uint8Array.of(0x4e, 0xff), "badUtf8"],
  [Uint8Array.of(0xff), "badUtf8"],
  [utf8("R\u017fET"), "command", "R\u017fET", ""],
  [utf8("NOOP\0"), "command", "NOOP\0", ""],
];

Deno.test("smtpd: a command line is a verb and what follows it, or something else", () => {
  for (const [line, kind, verb, argument] of LINES) {
    const read = readCommand(line);
    const found = read.kind === "command" && read.header ? "header" : read.kind;
    assert.equal(found, kind, JSON.stringify(new TextDecoder().decode(line)));
    if (read.kind !== "command" || read.header) continue;
    assert.equal(read.verb, verb);
    assert.equal(new TextDecoder().decode(read.argument), argument);
  }
});

Deno.test("smtpd: no input makes a session fail, and every session ends", async () => {
  const random = new Random(51);
  const words = [
    "EHLO x",
    "HELO x",
    "MAIL FROM:<a@ext.test>",
    "RCPT TO:<alice@local.test>",
    "RCPT TO:<nobody@local.test>",
    "DATA",
    ".",
    "RSET",
    "NOOP",
    "VRFY alice",
    "QUIT",
    "Subject: x",
    "",
    "\0",
    "\u00e9",
    "x".repeat(3000),
  ];
  await using host = new MailHost({
    settings: { smtpd_forbid_unauth_pipelining: "false", smtpd_client_connection_count_limit: "0" },
  });
  for (let round = 0; round < 40; round++) {
    const clients = Array.from({ length: 20 }, () => host.connect());
    for (const client of clients) {
      for (let count = random.below(25); count > 0; count--) {
        const line = utf8(random.pick(words) + random.pick(["\r\n", "\r\n", "\r\n", "\n", "\r"]));
        client.send(random.below(6) === 0 ? random.damage(line) : line);
        if (random.below(8) === 0) await Promise.resolve();
      }
      if (random.below(2) === 0) client.leave();
    }
    await settled();
    for (const client of clients) {
      assert.match(client.output, /^(\d\d\d[ -][\x20-\x7e]*\r\n)*$/);
      client.leave();
    }
    await settled();
    assert.ok(clients.every((client) => client.done === 1));
    assert.equal(host.cleanupServer.busy, 0);
    assert.ok(host.files().every(({ mode }) => mode === 0o700));
    assert.ok(!host.log.some((line) => line.includes("session of")), host.log.join("\n"));
    host.clear();
  }
});
