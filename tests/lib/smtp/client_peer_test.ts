/** The client against Debian's smtp-sink: what the fake server of the other tests stands for. @module */
import assert from "node:assert/strict";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import { type Delivered, makeBench } from "./delivery_bench.ts";
import { freePort } from "../../support/ports.ts";

const SINK = "/usr/sbin/smtp-sink";
const missing = !exists(SINK);

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

interface Sink extends AsyncDisposable {
  readonly port: number;
  /** Messages that it has written, each with its own header lines on top. */
  messages(): string[];
}

/** Starts smtp-sink and waits until it listens. */
async function startSink(options: readonly string[]): Promise<Sink> {
  const directory = Deno.makeTempDirSync();
  // As root it wants another user, who must be able to write there.
  Deno.chmodSync(directory, 0o777);
  const user = Deno.uid() === 0 ? ["-u", "nobody"] : [];
  const port = freePort();
  const child = new Deno.Command(SINK, {
    args: [...user, ...options, "-d", "m.", `127.0.0.1:${port}`, "100"],
    cwd: directory,
    stdout: "null",
    stderr: "null",
  }).spawn();
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    port,
    messages: () =>
      [...Deno.readDirSync(directory)].map((entry) => Deno.readTextFileSync(`${directory}/${entry.name}`)),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.status;
      Deno.removeSync(directory, { recursive: true });
    },
  };
}

/** The message as it was sent: without what smtp-sink puts on top, and the one empty line that it puts behind. */
function content(message: string): string {
  assert.ok(message.endsWith("\n\n"));
  return message.slice(message.indexOf("Subject: "), -1);
}

const LINES = ["Subject: x", "", ".", "..dots", "x".repeat(998), "", "  trailing  ", "Grüße", "end"];

const MODES: readonly (readonly [name: string, options: readonly string[], policy: Partial<ClientPolicy>])[] =
  [
    ["ESMTP with everything", [], {}],
    ["ESMTP without PIPELINING", ["-p"], {}],
    ["SMTP without EHLO", ["-e"], {}],
    ["ESMTP without DSN", ["-N"], {}],
    ["LMTP", ["-L"], { dialect: "lmtp" }],
  ];

for (const [name, options, policy] of MODES) {
  Deno.test({
    name: `smtp-sink, ${name}: bodies arrive byte for byte`,
    ignore: missing,
    fn: async () => {
      await using sink = await startSink(options);
      const nexthop = `${policy.dialect === "lmtp" ? "inet:" : ""}[127.0.0.1]:${sink.port}`;
      await using bench = makeBench({ ...policy, trusted: new Set([nexthop]) }, {}, LINES);
      const to = Array.from({ length: 120 }, (_, i) => `user${i}@example.test`);
      for (let i = 0; i < 3; i++) {
        const delivered = await bench.deliver({ nexthop, to });
        assert.equal(
          delivered.recipients.filter((r) => r.result === "sent").length,
          120,
          JSON.stringify(delivered.recipients[0]),
        );
        assert.deepEqual(delivered.errors, []);
      }
      const messages = sink.messages();
      assert.equal(messages.length, 3);
      for (const message of messages) {
        assert.equal(content(message), `${LINES.join("\n")}\n`);
        assert.equal(message.split("X-Rcpt-Args: ").length - 1, 120);
      }
    },
  });
}

Deno.test({
  name: "smtp-sink without 8BITMIME gets quoted-printable",
  ignore: missing,
  fn: async () => {
    await using sink = await startSink(["-8"]);
    const nexthop = `[127.0.0.1]:${sink.port}`;
    const lines = ["Subject: x", "Content-Transfer-Encoding: 8bit", "", "Grüße"];
    await using bench = makeBench({ trusted: new Set([nexthop]) }, {}, lines);
    assert.equal((await bench.deliver({ nexthop, encoding: "8bit" })).recipients[0]?.result, "sent");
    assert.equal(
      content(sink.messages()[0]!),
      "Subject: x\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n",
    );
  },
});

/** What smtp-sink's -f (5xx), -r (4xx) and -q (hang up) do at each command, and what must come of it. */
const TROUBLE: readonly (readonly [options: readonly string[], expected: string])[] = [
  [["-f", "CONNECT"], "deferred"],
  [["-f", "EHLO"], "sent"],
  [["-f", "MAIL"], "bounced"],
  [["-f", "RCPT"], "bounced"],
  [["-f", "DATA"], "bounced"],
  [["-f", "."], "bounced"],
  [["-r", "CONNECT"], "deferred"],
  [["-r", "MAIL"], "deferred"],
  [["-r", "RCPT"], "deferred"],
  [["-r", "DATA"], "deferred"],
  [["-r", "."], "deferred"],
  [["-q", "CONNECT"], "deferred"],
  [["-q", "EHLO"], "deferred"],
  [["-q", "MAIL"], "deferred"],
  [["-q", "RCPT"], "deferred"],
  [["-q", "DATA"], "deferred"],
  [["-q", "."], "deferred"],
  [["-Q", "MAIL"], "deferred"],
  [["-Q", "."], "deferred"],
];

for (const [options, expected] of TROUBLE) {
  Deno.test({
    name: `smtp-sink ${options.join(" ")}: ${expected}, and nothing is counted as sent that was not`,
    ignore: missing,
    fn: async () => {
      await using sink = await startSink(options);
      const nexthop = `[127.0.0.1]:${sink.port}`;
      await using bench = makeBench({ trusted: new Set([nexthop]) });
      const results: Delivered[] = [];
      for (let i = 0; i < 2; i++) results.push(await bench.deliver({ nexthop }));
      for (const delivered of results) {
        assert.equal(delivered.recipients[0]?.result, expected, JSON.stringify(delivered.recipients[0]));
        assert.deepEqual(delivered.errors, []);
      }
    },
  });
}

Deno.test({
  name: "a message of 50 MB is sent in the memory of a small one",
  ignore: missing,
  fn: async () => {
    await using sink = await startSink([]);
    const output = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        new URL("./big_message.ts", import.meta.url).pathname,
        String(sink.port),
      ],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = new TextDecoder().decode(output.stdout);
    assert.equal(output.code, 0, new TextDecoder().decode(output.stderr));
    const [small = 0, big = Infinity, results] = JSON.parse(text) as [number, number, string[]];
    assert.deepEqual(results, ["sent", "sent"]);
    assert.ok(big - small < 30 * 1024, `${small} KiB, then ${big} KiB`);
    const sizes = sink.messages().map((message) => message.length).sort((a, b) => a - b);
    assert.ok(sizes[1]! > 50_000_000);
  },
});
