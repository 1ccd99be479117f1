import assert from "node:assert/strict";
import { showqHandler } from "../../../daemons/showq/showq_service.ts";
import type { Reply } from "../../../lib/ipc/protocol.ts";
import { appendBounceRecord } from "../../../lib/mail/bounce_log.ts";
import { ADDRESS_LIMIT, REASON_LIMIT, SHOWQ } from "../../../lib/proto/protocols.ts";
import { ByteBuilder, encodeText } from "../../../lib/vstring/byte_builder.ts";
import { records } from "../../commands/maildrop_support.ts";
import { queueFile } from "../../support/messages.ts";
import { Served } from "../../support/served.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

type Message = Extract<Reply<typeof SHOWQ>, { is: "message" }>;

/** A queue, and showq on it. */
class Bench implements AsyncDisposable {
  readonly warnings: string[] = [];
  readonly #directory = new TemporaryDirectory();
  #service: Served<typeof SHOWQ> | undefined;

  constructor() {
    for (const name of ["maildrop", "active", "incoming", "deferred", "hold", "defer", "bounce"]) {
      Deno.mkdirSync(this.#directory.at(name));
    }
  }

  put(path: string, bytes: Uint8Array = queueFile(), mode = 0o700): void {
    const full = this.#directory.at(path);
    Deno.mkdirSync(full.slice(0, full.lastIndexOf("/")), { recursive: true });
    this.#directory.write(path, bytes, mode);
  }

  log(path: string, outcomes: readonly (readonly [string, string])[]): void {
    const out = new ByteBuilder(1 << 20);
    for (const [recipient, reason] of outcomes) {
      appendBounceRecord(out, {
        recipient,
        originalRecipient: "",
        dsnOriginalRecipient: "",
        offset: 0,
        notify: 0,
        status: "4.0.0",
        action: "delayed",
        diagnosticType: "",
        diagnosticText: "",
        remoteMtaType: "",
        remoteMta: "",
        reason,
      }, true);
    }
    this.put(path, out.copy(), 0o600);
  }

  path(name: string): string {
    return this.#directory.at(name);
  }

  async list(duplicates = 1000, pageSeen: () => void = () => {}): Promise<Message[]> {
    const log = {
      info() {},
      warning: (text: string) => void this.warnings.push(text),
      error() {},
      debug() {},
      flush() {},
    };
    this.#service ??= await Served.start(
      SHOWQ,
      showqHandler({
        queue_directory: this.#directory.path,
        hash_queue_names: ["deferred", "defer"],
        hash_queue_depth: 1,
        duplicate_filter_limit: duplicates,
      }, log),
    );
    const { client } = this.#service;
    return await new Promise((resolve, reject) => {
      const messages: Message[] = [];
      const exchange = client.open((reply) => {
        if (reply.is === "message") messages.push(reply);
        else if (reply.is === "end") resolve(messages);
        else {
          pageSeen();
          exchange.send("more", {});
        }
      }, reject);
      exchange.send("list", {});
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service?.[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}

Deno.test("an empty queue ends at once", async () => {
  await using bench = new Bench();
  assert.deepEqual(await bench.list(), []);
});

Deno.test("messages of all queues are listed in Postfix's order of queues, with what their envelope says", async () => {
  await using bench = new Bench();
  bench.put("hold/4F2A0000E", queueFile({ sender: "", time: 5000 }), 0o710);
  bench.put("deferred/4/4F2A0000D");
  bench.put("incoming/4F2A0000C");
  bench.put("active/4F2A0000B");
  const shown = await bench.list();
  assert.deepEqual(shown.map(({ queueName, queueId }) => `${queueName}/${queueId}`), [
    "active/4F2A0000B",
    "incoming/4F2A0000C",
    "deferred/4F2A0000D",
    "hold/4F2A0000E",
  ]);
  const { arrivalTime, sender, forcedExpire, size, recipients } = shown[3]!;
  assert.deepEqual({ arrivalTime, sender, forcedExpire }, {
    arrivalTime: 5000,
    sender: "",
    forcedExpire: true,
  });
  assert.equal(size, "Subject: test".length + "Hello".length + 3 * 2);
  const waiting = { address: "to@example.test", originalRecipient: "", delayReason: "", bounceReason: "" };
  assert.deepEqual(recipients, [waiting]);
});

Deno.test("a local submission, which has no size record, is listed with the file's size", async () => {
  await using bench = new Bench();
  const bytes = records(
    ["T", "1795413180 457270"],
    ["A", "rewrite_context=local"],
    ["F", "root"],
    ["S", "me@box.test"],
    ["R", "a b@smtp.test"],
    ["M", ""],
    ["N", "x"],
    ["X", ""],
    ["E", ""],
  );
  bench.put("maildrop/6FAA120C1B0", bytes, 0o744);
  const [shown] = await bench.list();
  assert.equal(shown!.size, bytes.length);
  assert.equal(shown!.arrivalTime, 1_795_413_180_000);
  assert.equal(shown!.sender, "me@box.test");
  assert.deepEqual(shown!.recipients.map(({ address }) => address), ["a b@smtp.test"]);
});

Deno.test("recipients of the defer log come first, with their reason, then those of the bounce log, then the others", async () => {
  await using bench = new Bench();
  bench.put(
    "deferred/4/4F2A0000D",
    queueFile({
      recipients: ["new@x", "late@x", { address: "done@x", original: "", done: true }, {
        address: "expanded@x",
        original: "alias@x",
      }],
    }),
  );
  bench.log("defer/4/4F2A0000D", [["late@x", "busy"], ["late@x", "still busy"]]);
  bench.log("bounce/4F2A0000D", [["gone@x", "unknown"]]);
  const [shown] = await bench.list();
  assert.deepEqual(shown!.recipients, [
    { address: "late@x", originalRecipient: "", delayReason: "busy", bounceReason: "" },
    { address: "gone@x", originalRecipient: "", delayReason: "", bounceReason: "unknown" },
    { address: "new@x", originalRecipient: "", delayReason: "", bounceReason: "" },
    { address: "expanded@x", originalRecipient: "alias@x", delayReason: "", bounceReason: "" },
  ]);
});

Deno.test("a message with many recipients comes in pieces of 100 and a long queue in pages", async () => {
  await using bench = new Bench();
  const recipients = Array.from({ length: 5250 }, (_, i) => `r${i}@x`);
  bench.put("active/4F2A0000B", queueFile({ recipients }));
  bench.put("hold/4F2A0000E");
  let pages = 0;
  const shown = await bench.list(1000, () => pages++);
  assert.equal(shown.length, 54);
  assert.equal(pages, 1);
  const all = shown.slice(0, 53).flatMap((message) => message.recipients.map(({ address }) => address));
  assert.deepEqual(all, recipients);
  assert.equal(shown[53]!.queueId, "4F2A0000E");
});

Deno.test("duplicates are remembered up to duplicate_filter_limit", async () => {
  await using bench = new Bench();
  bench.put("active/4F2A0000B", queueFile({ recipients: ["a@x", "b@x", "b@x", "a@x"] }));
  const [shown] = await bench.list(1);
  assert.deepEqual(shown!.recipients.map(({ address }) => address), ["a@x", "b@x", "b@x"]);
});

Deno.test("files that are being written, links, and files that are none of ours are left out", async () => {
  await using bench = new Bench();
  bench.put("incoming/4F2A0000C", queueFile(), 0o600);
  bench.put("incoming/12345.678", queueFile());
  Deno.symlinkSync("/etc/passwd", bench.path("incoming/4F2A00BAD"));
  bench.put("incoming/4F2A00DA4", new TextEncoder().encode("Cgarbage"));
  bench.put("incoming/4F2A00E4D", queueFile().subarray(0, 150));
  bench.put("incoming/4F2A00C00");
  const shown = await bench.list();
  assert.deepEqual(shown.map(({ queueId }) => queueId), ["4F2A00C00"]);
  assert.equal(bench.warnings.length, 3);
});

Deno.test("texts longer than the protocol carries are cut, so that one file cannot stop the listing", async () => {
  await using bench = new Bench();
  const long = "é".repeat(3000);
  bench.put("deferred/4/4F2A0000D", queueFile({ sender: long, recipients: [long] }));
  bench.log("defer/4/4F2A0000D", [["a@x", long]]);
  const [shown] = await bench.list();
  assert.equal(encodeText(shown!.sender).length, ADDRESS_LIMIT);
  assert.equal(encodeText(shown!.recipients[1]!.address).length, ADDRESS_LIMIT);
  assert.equal(encodeText(shown!.recipients[0]!.delayReason).length, REASON_LIMIT);
});
