/** Content filters behind the queue: a real SMTP proxy beside Debian's Postfix, and SpamAssassin by pipe. @module */
import assert from "node:assert/strict";
import { MAIN, until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { CaptureSink } from "../support/capture_sink.ts";
import { decode, Postern } from "../support/postern.ts";
import { AGAIN, filterServices, SCAN } from "../support/filter_services.ts";
import { freePort } from "../support/ports.ts";
import { Postfix } from "../support/postfix.ts";
import { ServerProgram } from "../support/server_program.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

/** A filter as people write them: passes each command on to the second server, and puts a header in front of messages. */
const FILTER = `
import socketserver, socket, sys
def reply(upstream):
    lines = b""
    while True:
        line = upstream.readline()
        lines += line
        if len(line) < 4 or line[3:4] != b"-":
            return lines
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as connection:
            upstream = connection.makefile("rwb")
            self.wfile.write(reply(upstream))
            while True:
                line = self.rfile.readline()
                if not line:
                    return
                upstream.write(line)
                upstream.flush()
                answer = reply(upstream)
                self.wfile.write(answer)
                if line.upper().startswith(b"QUIT"):
                    return
                if answer.startswith(b"354"):
                    upstream.write(b"X-Filtered: yes\\r\\n")
                    while line != b".\\r\\n":
                        line = self.rfile.readline()
                        if not line:
                            return
                        upstream.write(line)
                    upstream.flush()
                    self.wfile.write(reply(upstream))
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
`;

/** Runs the filter, which hands on from one port to the other. */
function startFilter(front: number, again: number, directory: string): Promise<ServerProgram> {
  const args = ["-c", FILTER, String(front), String(again)];
  return ServerProgram.start("python3", args, front, { output: `${directory}/output` });
}

const head = (subject: string) =>
  `From: a@ext.test\r\nTo: b@far.test\r\nSubject: ${subject}\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n` +
  `Message-Id: <${subject}@ext.test>\r\n`;
const MESSAGES: readonly { readonly to: readonly string[]; readonly content: string }[] = [
  { to: ["b@far.test"], content: `${head("plain")}\r\n.dot\r\ntext\r\n` },
  { to: ["b@far.test", "alias@far.test"], content: `${head("several")}\r\ntext\r\n` },
  {
    to: ["b@far.test"],
    content: `${head("eight")}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      "Content-Transfer-Encoding: 8bit\r\n\r\nü\r\n",
  },
  { to: ["b@far.test"], content: `${head("checked")}X-Check: once\r\n\r\ntext\r\n` },
];

/** What differs between two runs of the same: ids, dates, ports. */
function stable(content: Uint8Array): string {
  return decode(content).replaceAll(/ id [0-9A-Za-z]+/g, " id ID")
    .replaceAll(/;\s+[A-Z][a-z][a-z], \d+ Nov \d+ \d\d:\d\d:\d\d [^\r]*/g, "; DATE");
}

async function pass(
  system: { log(): string },
  port: number,
  sink: CaptureSink,
  messages: typeof MESSAGES,
): Promise<string[]> {
  sink.captured.length = 0;
  const posts = messages.map(({ to, content }) => ({
    from: "a@ext.test",
    to,
    options: ["BODY=8BITMIME"],
    content: utf8(content),
  }));
  const done = await sendWithPython(port, posts);
  assert.deepEqual(done.map(({ code }) => code), messages.map(() => 250), system.log());
  const count = messages.reduce((sum, { to }) => sum + to.length, 0);
  assert.ok(await until(() => sink.captured.length >= count), system.log());
  return sink.captured.map(({ sender, recipient, content }) => `${sender} ${recipient}\n${stable(content)}`)
    .sort();
}

/** What the log says of clients of the second server, ids left out. */
function clients(log: string): string[] {
  return log.split("\n").filter((line) => line.includes("orig_client="))
    .map((line) =>
      line.replace(/^.*?: client=/, "client=").replaceAll(/orig_queue_id=\w+/g, "orig_queue_id=ID")
    );
}

/** Mappings and checks that must act once, not again behind the filter. */
function tables(directory: string): { readonly checks: string; readonly aliases: string } {
  const checks = `${directory}/checks`;
  Deno.writeTextFileSync(checks, "/^X-Check: once/ PREPEND X-Seen: once\n");
  const aliases = `${directory}/aliases`;
  Deno.writeTextFileSync(aliases, "alias@far.test mapped@far.test\n");
  return { checks, aliases };
}

for (const way of ["content_filter", "FILTER"] as const) {
  testNeeding(
    ["postfix", "python3"],
    `${way}: a filter over SMTP gives messages back as with Debian's Postfix`,
    async () => {
      await using sink = new CaptureSink();
      const [front, again] = [freePort(), freePort()];
      const directory = Deno.makeTempDirSync();
      Deno.chmodSync(directory, 0o755);
      const { checks, aliases } = tables(directory);
      const filter = `scan:[127.0.0.1]:${front}`;
      if (way === "FILTER") {
        Deno.writeTextFileSync(
          checks,
          `/^X-Check: once/ PREPEND X-Seen: once\n/^Subject: / FILTER ${filter}\n`,
        );
      }
      const toFilter = way === "FILTER" ? {} : { content_filter: filter };
      const results: string[][] = [];
      const logs: string[][] = [];
      {
        await using postfix = await Postfix.start({
          settings: {
            ...toFilter,
            default_transport: `smtp:[127.0.0.1]:${sink.port}`,
            header_checks: `regexp:${checks}`,
            virtual_alias_maps: `texthash:${aliases}`,
          },
          servers: [AGAIN],
          services: `scan unix - - n - 10 smtp\n` +
            Object.entries(SCAN).map(([name, value]) => `  -o ${name}=${value}\n`).join(""),
        });
        await using _filter = await startFilter(front, postfix.ports[0]!, directory);
        results.push(await pass(postfix, postfix.port, sink, MESSAGES));
        logs.push(clients(postfix.log()));
      }
      {
        await using postern = await Postern.start({
          settings: {
            ...(way === "FILTER" ? {} : { content_filter: JSON.stringify(filter) }),
            myhostname: '"postfix.test"',
            mail_name: '"Postfix"',
            notify_classes: "[]",
            mydestination: "[]",
            mynetworks: '["127.0.0.0/8"]',
            smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
            smtpd_recipient_restrictions: "[]",
            default_transport: `"smtp:[127.0.0.1]:${sink.port}"`,
            header_checks: `["regexp:${checks}"]`,
            virtual_alias_maps: `["texthash:${aliases}"]`,
            smtputf8_enable: "false",
          },
          services: (text) => text + filterServices(again),
        });
        await using _filter = await startFilter(front, again, directory);
        results.push(await pass(postern, postern.port, sink, MESSAGES));
        logs.push(clients(postern.log()));
        await postern.untilEmpty();
      }
      const [theirs, ours] = results;
      assert.ok(theirs!.every((text) => text.includes("X-Filtered: yes")), theirs!.join("\n"));
      assert.deepEqual(ours, theirs);
      assert.deepEqual(logs[1]!.length, logs[0]!.length);
      assert.deepEqual(new Set(logs[1]), new Set(logs[0]));
      Deno.removeSync(directory, { recursive: true });
    },
  );
}

testNeeding(
  ["spamd", "spamc"],
  "the simple filter of Postfix's documentation: SpamAssassin by pipe, mail of sendmail too",
  async () => {
    const port = freePort();
    using directory = new TemporaryDirectory();
    await using _spamd = await ServerProgram.start(
      "spamd",
      [
        "--local",
        "--nouser-config",
        "-u",
        "nobody",
        "--max-children=1",
        `--port=${port}`,
        "--listen=127.0.0.1",
      ],
      port,
      { output: directory.at("output") },
    );
    const postern = await Postern.make({
      settings: { notify_classes: "[]", content_filter: '"filter:dummy"' },
    });
    await using _postern = postern;
    const { configuration, root } = postern.paths;
    const script = `${root}/filter.sh`;
    const runtime = Deno.execPath();
    Deno.writeTextFileSync(
      script,
      `#!/bin/sh\n/usr/bin/spamc -d 127.0.0.1 -p ${port} >$$.in || exit 75\n` +
        `HOME=${
          Deno.env.get("HOME")
        } ${runtime} run -A ${MAIN} -c ${configuration} sendmail -G -i "$@" <$$.in\nstatus=$?\nrm -f $$.in\nexit $status\n`,
    );
    Deno.chmodSync(script, 0o755);
    const spool = `${root}/filter`;
    Deno.mkdirSync(spool);
    const master = `${configuration}/master.toml`;
    // Mail that the filter gives back comes by way of pickup, which must not send it there once more.
    const text = Deno.readTextFileSync(master).replace(
      'command = "pickup"\n',
      'command = "pickup"\nparameters = { content_filter = "" }\n',
    );
    Deno.writeTextFileSync(
      master,
      `${text}\n[[service]]\nname = "filter"\ntype = "unix"\ncommand = "pipe"\n` +
        `arguments = ["flags=Rq", "user=nobody", "null_sender=", "directory=${spool}", "argv=${script} -f \${sender} -- \${recipient}"]\n`,
    );
    await postern.start();
    // SpamAssassin's own test text.
    const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
    const [good, spam] = [head("ham"), head("spam")].map((header, i) =>
      utf8(`${header}\r\n${i === 0 ? "Hello." : GTUBE}\r\n`)
    );
    await sendWithPython(postern.port, [
      { from: "a@ext.test", to: ["ham@example.test"], content: good! },
      { from: "a@ext.test", to: ["spam@example.test"], content: spam! },
    ]);
    const [ham] = await postern.mail("ham", 1);
    assert.match(decode(ham!), /^X-Spam-Checker-Version: /m);
    assert.doesNotMatch(decode(ham!), /^X-Spam-Flag: YES/m);
    assert.match(decode(ham!), /^Return-Path: <a@ext\.test>/m);
    const [marked] = await postern.mail("spam", 1);
    assert.match(decode(marked!), /^X-Spam-Flag: YES/m);
    await postern.untilEmpty();
  },
);
