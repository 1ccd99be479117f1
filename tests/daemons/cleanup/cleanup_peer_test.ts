/** cleanup beside Debian's: the same messages, the same configurations, the same queue files. @module */
import assert from "node:assert/strict";
import { EnvelopeReader } from "../../../lib/mail/queue_file.ts";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { until } from "../../commands/mail_system.ts";
import { filesBelow } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { latin1 } from "../smtpd/queued_message.ts";
import { MailHost, type TestClient } from "../smtpd/mail_host.ts";
import { PEER_GROUPS, type PeerCase, type PeerGroup } from "./cleanup_peer_cases.ts";
import { freePort } from "../../support/ports.ts";

/** What became of a message. */
interface Fate {
  readonly reply: string;
  readonly queue: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly filter: string;
  readonly redirect: string;
  readonly encoding: string;
  readonly content: string;
}

const COMMON = {
  mail_name: "Postfix",
  myhostname: "mx.test",
  mydomain: "test",
  myorigin: "mx.test",
  mydestination: "mx.test",
  recipient_delimiter: "+",
  local_recipient_maps: "",
  default_transport: "discard",
  relay_transport: "discard",
} as const;

/** Sends a message in a session of its own; `say` gives the reply to a line. */
async function submit(
  test: PeerCase,
  helo: string,
  say: (line: string) => Promise<string>,
  send: (bytes: Uint8Array) => Promise<string>,
): Promise<string> {
  const commands = [
    `EHLO ${helo}`,
    `MAIL FROM:<${test.sender ?? "a@x.test"}>`,
    ...(test.recipients ?? ["b@y.test"]).map((recipient) => `RCPT TO:<${recipient}>${test.rcpt ?? ""}`),
    "DATA",
  ];
  for (const command of commands) {
    const reply = await say(command);
    assert.match(reply, /^[23]/, `${test.name}: ${command}`);
  }
  const text = [...test.lines, "."].map((line) => `${line}\r\n`).join("");
  return await send(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

/** A client of a real port. */
async function overTcp(port: number, test: PeerCase, helo: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  let input = "";
  const reply = async () => {
    for (;;) {
      const end = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(input);
      if (end !== null) {
        input = input.slice(end[0].length);
        return end[0].trimEnd();
      }
      const buffer = new Uint8Array(4096);
      const count = await connection.read(buffer);
      if (count === null) throw new Error(`connection ended: ${input}`);
      input += latin1(buffer.subarray(0, count));
    }
  };
  const send = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    return await reply();
  };
  await reply();
  return await submit(test, helo, (line) => send(new TextEncoder().encode(`${line}\r\n`)), send);
}

async function inMemory(client: TestClient, test: PeerCase, helo: string): Promise<string> {
  await client.reply();
  return await submit(test, helo, (line) => client.say(line), (bytes) => {
    client.send(bytes);
    return client.reply();
  });
}

/** The message that a reply speaks of, wherever it stands in the queue. */
function fateOf(queue: string, reply: string): Fate {
  const id = /queued as (\w+)/.exec(reply)?.[1];
  const said = reply.replace(/queued as \w+/, "queued as ID");
  const nothing = {
    queue: "",
    sender: "",
    recipients: [],
    filter: "",
    redirect: "",
    encoding: "",
    content: "",
  };
  if (id === undefined) return { reply: said, ...nothing };
  for (let round = 0; round < 5; round++) {
    for (const name of ["hold", "incoming", "active", "deferred"]) {
      const path = filesBelow(`${queue}/${name}`).find((one) => one.endsWith(`/${id}`));
      if (path === undefined) continue;
      try {
        return {
          reply: said,
          queue: name === "hold" ? "hold" : "queued",
          ...contentOf(Deno.readFileSync(path), id),
        };
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // it has just been moved
      }
    }
  }
  return { reply: said, ...nothing, queue: "gone" };
}

function contentOf(file: Uint8Array<ArrayBuffer>, id: string): Omit<Fate, "reply" | "queue"> {
  const reader = new EnvelopeReader((buffer, offset) => {
    const part = file.subarray(offset, offset + buffer.length);
    buffer.set(part);
    return part.length;
  });
  const recipients = [];
  while (!reader.finished) recipients.push(...reader.recipients(1000));
  const envelope = reader.envelope();
  const { dataOffset, contentSize } = envelope.size;
  let text = "";
  for (const cursor = new RecordCursor(file, dataOffset, dataOffset + contentSize); cursor.next();) {
    if (cursor.type === RECORD.NORMAL) text += `${latin1(cursor.data)}\n`;
    else if (cursor.type === RECORD.CONTINUED) text += latin1(cursor.data);
    else assert.ok(cursor.type === RECORD.POINTER || cursor.type === RECORD.PADDING, `record ${cursor.type}`);
  }
  return {
    sender: envelope.sender,
    recipients: recipients.map(({ address, originalRecipient, dsnOriginalRecipient, notify }) =>
      [address, originalRecipient, dsnOriginalRecipient, notify].join(" ")
    ),
    filter: envelope.filter,
    redirect: envelope.redirect,
    encoding: envelope.attributes.get("encoding") ?? "",
    content: text
      .replace(/^Received: from .*\n(?:\s.*\n)+/, "")
      .replace(new RegExp(`<\\d{14}\\.${id}@`), "<MADE@")
      .replace(/Date: \w{3}, .*\(\w+\)/, "Date: MADE"),
  };
}

/** What the log says of the content of one case's message, without what differs from host to host. */
function actionsOf(log: readonly string[]): string[] {
  return log.filter((line) => / from .*; from=</.test(line))
    .map((line) =>
      /\w+: ((?:reject|warning|info|replace|prepend|hold|discard|filter|redirect|bcc|pass|strip): .*)$/.exec(
        line,
      )?.[1]
    )
    .filter((action) => action !== undefined)
    .map((action) => action.replace(/(with ESMTP id )\w+(.*; )\w{3}, [^)]*\)/, "$1ID$2DATE"));
}

/** The services of master.cf for a group. */
function services(group: PeerGroup, index: number, port: number, directory: string): string {
  const options = Object.entries(group.settings)
    .map(([name, value]) => `  -o { ${name} = ${value.replaceAll("$dir", directory)} }\n`).join("");
  return `127.0.0.1:${port} inet n - n - - smtpd\n  -o cleanup_service_name=cleanup${index}\n${options}` +
    `cleanup${index} unix n - n - 0 cleanup\n${options}`;
}

function toToml(value: string, directory: string): string {
  if (value === "yes" || value === "no") return String(value === "yes");
  return /^\d+$/.test(value) ? value : JSON.stringify(value.replaceAll("$dir", directory));
}

testNeeding(["root", "postfix"], "cleanup does with messages what Debian's does", async (t) => {
  using directory = new TemporaryDirectory();
  Deno.chmodSync(directory.path, 0o755);
  await using postfix = Postfix.make({
    settings: { ...COMMON, remote_header_rewrite_domain: "remote.test", defer_transports: "discard, local" },
  });
  const ports = PEER_GROUPS.map(() => freePort());
  const master = `${postfix.root}/etc/master.cf`;
  const added = PEER_GROUPS.map((group, i) => services(group, i, ports[i]!, directory.path)).join("");
  for (const { files = {} } of PEER_GROUPS) {
    for (const [name, text] of Object.entries(files)) directory.write(name, text);
  }
  Deno.writeTextFileSync(master, Deno.readTextFileSync(master) + added);
  await postfix.start();
  for (const [index, group] of PEER_GROUPS.entries()) {
    const settings = Object.entries({ ...COMMON, ...group.settings })
      .map(([name, value]) => [name, toToml(value, directory.path)]);
    await using host = new MailHost({ settings: Object.fromEntries(settings) });
    for (const [number, test] of group.cases.entries()) {
      await t.step(`${group.name}: ${test.name}`, async () => {
        const helo = `case${number}.group${index}.test`;
        const [theirStart, ourStart] = [postfix.log().length, host.log.length];
        const theirs = fateOf(postfix.queue, await overTcp(ports[index]!, test, helo));
        // What its processes have logged of the message comes before that it is over.
        const over = () => postfix.log().slice(theirStart).includes("disconnect from");
        assert.ok(await until(over), "Postfix's session does not end");
        const client = host.connect("127.0.0.1");
        const ours = fateOf(host.queue, await inMemory(client, test, helo));
        client.leave();
        assert.deepEqual(ours, theirs);
        const expected = actionsOf(postfix.log().slice(theirStart).split("\n"));
        assert.deepEqual(actionsOf(host.log.slice(ourStart)), expected);
      });
    }
  }
});
