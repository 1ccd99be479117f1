import assert from "node:assert/strict";
import { FlushService } from "../../../daemons/flush/flush_service.ts";
import type { RequestValues } from "../../../lib/ipc/protocol.ts";
import { IpcError } from "../../../lib/ipc/client.ts";
import { FLUSH, type QMGR } from "../../../lib/proto/protocols.ts";
import { KeptLog } from "../bounce/bounce_support.ts";
import { Served } from "../../support/served.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const DAY = 24 * 3600;
const PURGE_TIME = 7 * DAY;
const REFRESH_TIME = 12 * 3600;

type Deliver = RequestValues<typeof QMGR, "deliver">;

/** A flush daemon on a real directory, with a queue manager of the test. */
class Flush implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  readonly log = new KeptLog();
  readonly asked: Deliver[] = [];
  /** Runs while qmgr is asked. */
  during: () => Promise<void> | void = () => {};
  eligible: "found" | "missing" | "retry" = "found";
  readonly service: FlushService;
  #served: Served<typeof FLUSH> | undefined;

  constructor(hashed: readonly string[] = []) {
    Deno.mkdirSync(this.directory.at("flush"));
    this.service = new FlushService({
      settings: {
        queue_directory: this.directory.path,
        hash_queue_names: hashed,
        hash_queue_depth: 1,
        fast_flush_domains: ["x.test"],
        fast_flush_purge_time: PURGE_TIME,
        fast_flush_refresh_time: REFRESH_TIME,
        parent_domain_matches_subdomains: [],
      },
      maps: {
        find: (parameter, search) => {
          assert.deepEqual([parameter, search], ["fast_flush_domains", "list"]);
          return Promise.resolve(
            this.eligible === "found"
              ? { kind: "found", value: "", extension: "" }
              : this.eligible === "missing"
              ? { kind: "missing" }
              : { kind: "retry", why: "table is away" },
          );
        },
      },
      qmgr: {
        call: async (_type, fields) => {
          this.asked.push(fields as Deliver);
          await this.during();
          return { is: "done", found: true };
        },
      },
      log: this.log,
    });
  }

  /** Serves it on a real socket, as the skeleton does. */
  async start(): Promise<Served<typeof FLUSH>> {
    return this.#served ??= await Served.start(
      FLUSH,
      (exchange, message) => this.service.handle(exchange, message),
    );
  }

  /** As qmgr's hint, but that its end is waited for. */
  async add(site: string, queueId: string): Promise<void> {
    const exchange = { reply: () => {}, state: undefined, onCancel: undefined, cancelled: false };
    await this.service.handle(exchange, { is: "add", site, queueId });
  }

  async send(site: string): Promise<string> {
    const reply = await (await this.start()).client.call("sendSite", { site });
    return reply.status;
  }

  text(name: string): string {
    return Deno.readTextFileSync(this.directory.at(`flush/${name}`));
  }

  put(name: string, text: string, ageSeconds = 0): void {
    const path = this.directory.at(`flush/${name}`);
    Deno.writeTextFileSync(path, text);
    const time = Date.now() / 1000 - ageSeconds;
    Deno.utimeSync(path, time, time);
  }

  get names(): string[] {
    return Array.from(Deno.readDirSync(this.directory.at("flush")), ({ name }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served?.[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}

Deno.test("a message is noted in Postfix's file of its destination, whatever the case of the domain", async () => {
  await using flush = new Flush();
  await flush.add("Next.X-1.test", "4F2A0");
  await flush.add("next.x-1.TEST", "4F2A1");
  await flush.add("[192.0.2.1]", "4F2A2");
  assert.deepEqual(flush.names, ["_192_0_2_1_", "next_x_1_test"]);
  assert.equal(flush.text("next_x_1_test"), "4F2A0\n4F2A1\n");
  const { mode } = Deno.statSync(flush.directory.at("flush/next_x_1_test"));
  assert.equal(mode! & 0o777, 0o600);
});

Deno.test("a name in UTF-8 and its A-labels are one destination", async () => {
  await using flush = new Flush();
  await flush.add("b\u00fccher.test", "4F2A0");
  assert.deepEqual(flush.names, ["xn__bcher_kva_test"]);
  assert.equal(await flush.send("xn--bcher-kva.test"), "ok");
  assert.deepEqual(flush.asked, [{ queueId: "4F2A0", unthrottle: true }]);
});

for (
  const [name, site, queueId, eligible] of [
    ["a destination that is not in fast_flush_domains", "x.test", "4F2A0", "missing"],
    ["a table that is away", "x.test", "4F2A0", "retry"],
    ["what is no queue id", "x.test", "../4F2A0", "found"],
    ["what is no domain", "../x", "4F2A0", "found"],
    ["the null domain", "", "4F2A0", "found"],
  ] as const
) {
  Deno.test(`nothing is noted for ${name}`, async () => {
    await using flush = new Flush();
    flush.eligible = eligible;
    await flush.add(site, queueId);
    assert.deepEqual(flush.names, []);
  });
}

Deno.test("the answers: asked for, nothing there, not kept, no name, trouble", async () => {
  await using flush = new Flush();
  flush.put("x_test", "4F2A0\n4F2A1\n4F2A0\n");
  assert.equal(await flush.send("X.test"), "ok");
  assert.deepEqual(flush.asked.map(({ queueId }) => queueId), ["4F2A0", "4F2A1"], "each id once");
  assert.equal(flush.text("x_test"), "");
  assert.equal(await flush.send("x.test"), "ok");
  assert.equal(flush.asked.length, 2);
  assert.equal(await flush.send("a b"), "bad");
  flush.eligible = "missing";
  assert.equal(await flush.send("x.test"), "denied");
  flush.eligible = "retry";
  assert.equal(await flush.send("x.test"), "fail");
});

Deno.test("lines that are no queue ids are passed over with a warning", async () => {
  await using flush = new Flush();
  flush.put("x_test", `4F2A0\n../etc/passwd\n\n${"A".repeat(300)}\n4F2A1\n4F2A2`);
  assert.equal(await flush.send("x.test"), "ok");
  assert.deepEqual(flush.asked.map(({ queueId }) => queueId), ["4F2A0", "4F2A1"]);
  assert.equal(flush.log.lines.filter((line) => line.includes("bad queue id")).length, 3);
});

Deno.test("a long list is read to its end, in pieces", async () => {
  await using flush = new Flush();
  const ids = Array.from({ length: 30_000 }, (_, i) => `${"ABC"[i % 3]}${i}`.padEnd(5 + i % 7, "0"));
  flush.put("x_test", ids.map((id) => `${id}\n`).join(""));
  assert.equal(await flush.send("x.test"), "ok");
  assert.deepEqual(new Set(flush.asked.map(({ queueId }) => queueId)), new Set(ids));
  assert.equal(flush.text("x_test"), "");
});

Deno.test("what is noted while the list is sent stays for the next time", async () => {
  await using flush = new Flush();
  flush.put("x_test", "4F2A0\n4F2A1\n");
  let asked = 0;
  flush.during = async () => {
    const number = ++asked;
    if (number <= 2) await flush.add("x.test", `4F2B${number}`);
  };
  assert.equal(await flush.send("x.test"), "ok");
  assert.deepEqual(flush.text("x_test").split("\n").sort(), ["", "4F2B1", "4F2B2"]);
});

Deno.test("when qmgr is away the list stays as it is", async () => {
  await using flush = new Flush();
  flush.put("x_test", "4F2A0\n");
  flush.during = () => Promise.reject(new IpcError("lost", "qmgr is away"));
  assert.equal(await flush.send("x.test"), "fail");
  assert.equal(flush.text("x_test"), "4F2A0\n");
  flush.during = () => {};
  assert.equal(await flush.send("x.test"), "ok");
  assert.equal(flush.text("x_test"), "");
});

Deno.test("a list that is a link, or has a second name, is neither read nor written", async () => {
  await using flush = new Flush();
  Deno.writeTextFileSync(flush.directory.at("elsewhere"), "4F2A0\n");
  Deno.linkSync(flush.directory.at("elsewhere"), flush.directory.at("flush/x_test"));
  await flush.add("x.test", "4F2A1");
  assert.equal(await flush.send("x.test"), "ok");
  assert.deepEqual(flush.asked, []);
  assert.equal(Deno.readTextFileSync(flush.directory.at("elsewhere")), "4F2A0\n");
});

Deno.test("refresh: lists that nobody read are sent, gently; those that are long empty go; others stay", async () => {
  await using flush = new Flush(["flush"]);
  for (const hash of ["a", "b"]) Deno.mkdirSync(flush.directory.at(`flush/${hash}`));
  flush.put("a/a_old", "4F2A0\n", REFRESH_TIME + 100);
  flush.put("a/a_new", "4F2A1\n", REFRESH_TIME - 1000);
  flush.put("b/b_empty_old", "", PURGE_TIME + 100);
  flush.put("b/b_empty_new", "", PURGE_TIME - 1000);
  await flush.service.refresh();
  assert.deepEqual(flush.asked, [{ queueId: "4F2A0", unthrottle: false }]);
  const names = ["a", "b"].flatMap((hash) =>
    Array.from(Deno.readDirSync(flush.directory.at(`flush/${hash}`)), ({ name }) => name)
  );
  assert.deepEqual(names.sort(), ["a_new", "a_old", "b_empty_new"]);
  // It has been read now.
  await flush.service.refresh();
  assert.equal(flush.asked.length, 1);
});

Deno.test("purge goes through all lists, with destinations in trouble left alone", async () => {
  await using flush = new Flush();
  flush.put("x_test", "4F2A0\n");
  flush.put("y_test", "4F2A1\n");
  (await flush.start()).client.send("purge", {});
  await flush.send("nobody.test");
  for (let i = 0; i < 100 && flush.asked.length < 2; i++) await new Promise((done) => setTimeout(done, 10));
  assert.deepEqual(flush.asked.toSorted((a, b) => a.queueId < b.queueId ? -1 : 1), [
    { queueId: "4F2A0", unthrottle: false },
    { queueId: "4F2A1", unthrottle: false },
  ]);
});
