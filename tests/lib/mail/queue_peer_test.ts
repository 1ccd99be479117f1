/** Queue files and queue ids against Debian's Postfix. @module */
import assert from "node:assert/strict";
import { QueueFileMaker } from "../../../daemons/cleanup/cleanup_output.ts";
import { QueueDirectory } from "../../../lib/mail/queue_directory.ts";
import { ContentReader, EnvelopeReader } from "../../../lib/mail/queue_file.ts";
import { hashedDirectory, inodeOf, toQueueId } from "../../../lib/mail/queue_id.ts";
import { BadRecordError, RECORD, RecordReader } from "../../../lib/mail/record.ts";
import { decodeText } from "../../../lib/vstring/byte_builder.ts";
import { Postfix } from "../../support/postfix.ts";
import { runProgram } from "../../support/postern.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { readerOf, SAMPLE, sampleFile } from "./queue_file_support.ts";

/** Nothing in it makes a program of Postfix ask for names. */
const MAIN_CF = `compatibility_level = 3.6
myhostname = postfix.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
`;

/** Runs Debian's postcat with a configuration of our own. */
async function postcat(directory: TemporaryDirectory, ...args: string[]): Promise<string> {
  Deno.mkdirSync(directory.at("etc"), { recursive: true });
  directory.write("etc/main.cf", `${MAIN_CF}queue_directory = ${directory.path}\n`);
  const { status, output, errors } = await runProgram("/usr/sbin/postcat", [
    "-c",
    directory.at("etc"),
    ...args,
  ]);
  assert.equal(status, 0, errors);
  assert.equal(errors, "");
  return output;
}

testNeeding(["postfix"], "Debian's postcat prints a file of ours: envelope and content", async () => {
  using directory = new TemporaryDirectory();
  const file = directory.write("file", sampleFile().bytes(), 0o700);
  const lines = (await postcat(directory, "-e", file)).split("\n");
  const expected = [
    "message_arrival_time: ",
    "create_time: ",
    "named_attribute: rewrite_context=local",
    "sender: sender@example.com",
    "named_attribute: log_client_name=client.example",
    "named_attribute: log_client_address=192.0.2.1",
    ...SAMPLE.recipients.flatMap((address) => [
      `named_attribute: dsn_orig_rcpt=rfc822;${address}`,
      "named_attribute: notify_flags=12",
      `original_recipient: orig-${address}`,
      `recipient: ${address}`,
    ]),
  ];
  assert.match(
    lines.join("\n"),
    /^\*\*\* ENVELOPE RECORDS .*\nmessage_size: +[0-9]+ +[0-9]+ +3 +0 +[0-9]+ +0\n/,
  );
  let at = 0;
  for (const line of expected) {
    const found = lines.findIndex((other, index) =>
      index >= at && (other === line || line.endsWith(": ") && other.startsWith(line))
    );
    assert.ok(found >= 0, `${line} in\n${lines.join("\n")}`);
    at = found + 1;
  }
  assert.equal(await postcat(directory, "-bh", file), `${SAMPLE.lines.join("\n")}\n`);
});

testNeeding(
  ["postfix"],
  "Debian's postcat finds a file of our writer by its id, in a long and a short queue id's form",
  async () => {
    for (const longIds of [true, false]) {
      using directory = new TemporaryDirectory();
      Deno.mkdirSync(directory.at("incoming"));
      Deno.mkdirSync(directory.at("journal"));
      const queue = new QueueDirectory(directory.path, [], 0);
      using maker = new QueueFileMaker(queue, longIds, "boot");
      const output = maker.create();
      const sample = sampleFile().bytes();
      // The writer made the size record itself.
      const sizeEnd = 2 + sample[1]!;
      output.records.bytes(sample.subarray(sizeEnd));
      const { size } = (() => {
        const reader = new EnvelopeReader(readerOf(sample));
        while (!reader.finished) reader.recipients(100);
        return reader.envelope();
      })();
      await new Promise<void>((resolve, reject) =>
        output.commit(size, "incoming", (failure) => failure === undefined ? resolve() : reject(failure))
      );
      assert.deepEqual(Deno.readFileSync(directory.at(`incoming/${output.id}`)), sample);
      assert.equal(await postcat(directory, "-bhq", output.id), `${SAMPLE.lines.join("\n")}\n`);
      assert.equal(inodeOf(output.id), Deno.statSync(directory.at(`incoming/${output.id}`)).ino);
    }
  },
);

testNeeding(
  ["postfix"],
  "a cut is damage to Debian's postcat exactly where it is to our record reader",
  async () => {
    using directory = new TemporaryDirectory();
    const whole = sampleFile().bytes();
    await postcat(directory, directory.write("file", whole, 0o700));
    const cuts = Array.from({ length: 60 }, (_, i) => whole.length - 1 - i * 8);
    // Postfix waits a second before it ends with an error: all at once.
    await Promise.all(cuts.map(async (cut) => {
      const part = whole.slice(0, cut);
      const file = directory.write(`cut${cut}`, part, 0o700);
      const { status } = await runProgram("/usr/sbin/postcat", ["-c", directory.at("etc"), file]);
      assert.equal(hasWholeRecords(part), status === 0, `cut at ${cut}`);
      const reader = new EnvelopeReader(readerOf(part));
      assert.throws(() => {
        while (!reader.finished) reader.recipients(100);
      }, BadRecordError);
    }));
  },
);

function hasWholeRecords(file: Uint8Array): boolean {
  const reader = new RecordReader(readerOf(file));
  try {
    while (reader.next());
    return true;
  } catch (error) {
    if (!(error instanceof BadRecordError)) throw error;
    return false;
  }
}

testNeeding(
  ["root", "postfix"],
  "queue files of a real Postfix: ids hold their inode, directories are ours, our readers read them",
  async () => {
    for (const longIds of ["yes", "no"]) {
      await using postfix = await Postfix.start({
        settings: {
          enable_long_queue_ids: longIds,
          defer_transports: "smtp",
          hash_queue_names: "deferred",
          hash_queue_depth: "2",
          relayhost: "[127.0.0.1]:9",
        },
      });
      const message = "From: s@x.test\nSubject: peer\n\nline one\n.\nlast line\n";
      for (let i = 0; i < 3; i++) {
        const sent = await postfix.run("/usr/sbin/sendmail", [
          "-i",
          "-f",
          "s@x.test",
          `r${i}@far.test`,
          "two@far.test",
        ], message);
        assert.equal(sent.status, 0, sent.errors);
      }
      await postfix.untilLogged(/(status=deferred[^]*){6}/);
      const paths = await untilThree(postfix);
      for (const path of paths) {
        const name = path.slice(path.lastIndexOf("/") + 1);
        const id = toQueueId(name)!;
        assert.equal(inodeOf(id), Deno.statSync(path).ino, name);
        assert.equal(path, `${postfix.queue}/deferred/${hashedDirectory(id, 2)}/${id}`);
        const file = Deno.readFileSync(path);
        const reader = new EnvelopeReader(readerOf(file));
        const addresses: string[] = [];
        while (!reader.finished) addresses.push(...reader.recipients(1).map(({ address }) => address));
        const { sender, size, attributes } = reader.envelope();
        assert.equal(sender, "s@x.test");
        assert.match(addresses.join(" "), /^r[0-2]@far\.test two@far\.test$/);
        assert.equal(size.recipientCount, 2);
        assert.equal(attributes.get("rewrite_context"), "local");
        const content = new ContentReader(readerOf(file), size.dataOffset);
        const lines: string[] = [];
        while (content.next()) lines.push(decodeText(content.data));
        assert.deepEqual(lines.slice(-4), ["", "line one", ".", "last line"]);
        assert.equal(file[size.dataOffset + size.contentSize], RECORD.EXTRACTED, "the segment ends at X");
        assert.equal(
          size.contentLength,
          size.contentSize,
          "with record overhead, as no milter changed anything",
        );
      }
    }
  },
);

/** The deferred files, once qmgr has put all of them there. */
async function untilThree(postfix: Postfix): Promise<string[]> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const paths = postfix.queued("deferred");
    if (paths.length === 3) return paths;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot find the messages:\n${postfix.log()}`);
}
