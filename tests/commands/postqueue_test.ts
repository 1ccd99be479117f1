import assert from "node:assert/strict";
import { run as mailq } from "../../commands/mailq.ts";
import { run } from "../../commands/postqueue.ts";
import { authorize } from "../../commands/postqueue_access.ts";
import { showqHandler } from "../../daemons/showq/showq_service.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { FlushStatus } from "../../lib/proto/flush_client.ts";
import { FLUSH, QMGR, SHOWQ } from "../../lib/proto/protocols.ts";
import { KeptLog } from "../daemons/bounce/bounce_support.ts";
import { queueFile } from "../support/messages.ts";
import { Served } from "../support/served.ts";
import { Postfix } from "../support/postfix.ts";
import { testNeeding } from "../support/tools.ts";
import { QueueBench } from "./queue_support.ts";

/** A queue whose showq and qmgr run; what qmgr was asked is kept. */
class Running implements AsyncDisposable {
  readonly bench: QueueBench;
  readonly asked: Request<typeof QMGR>[] = [];
  /** What flush was asked, and its answer. */
  readonly flushed: Request<typeof FLUSH>[] = [];
  flushStatus: FlushStatus = "ok";
  readonly #services: AsyncDisposable[] = [];

  private constructor(main: string) {
    this.bench = new QueueBench(main);
  }

  static async start(main = ""): Promise<Running> {
    const running = new Running(main);
    const { bench } = running;
    const settings = {
      queue_directory: bench.system.queue.root,
      hash_queue_names: ["deferred", "defer"],
      hash_queue_depth: 1,
      duplicate_filter_limit: 1000,
    };
    running.#services.push(
      await Served.start(SHOWQ, showqHandler(settings, new KeptLog()), bench.path("public/showq")),
      await Served.start(QMGR, (exchange, message) => {
        running.asked.push(message);
        if (message.is === "deliver") exchange.reply("done", { found: true });
      }, bench.path("public/qmgr")),
      await Served.start(FLUSH, (exchange, message) => {
        running.flushed.push(message);
        if (message.is === "sendSite") exchange.reply("done", { status: running.flushStatus });
      }, bench.path("public/flush")),
    );
    return running;
  }

  run(...args: string[]) {
    return this.bench.run("postqueue", run, args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of this.#services) await service[Symbol.asyncDispose]();
    this.bench[Symbol.dispose]();
  }
}

Deno.test("-p and mailq print the queue from showq, page after page", async () => {
  await using running = await Running.start();
  for (let i = 0; i < 120; i++) {
    running.bench.put(`active/4F2A0${i.toString(16).padStart(3, "0").toUpperCase()}`);
  }
  const { out, status, err } = await running.run("-p");
  assert.deepEqual({ status, err }, { status: 0, err: "" });
  assert.ok(out.endsWith("-- 2 Kbytes in 120 Requests.\n"));
  assert.equal((await running.bench.run("mailq", mailq, [])).out, out);
});

Deno.test("-j prints one object for each message, that with many recipients too", async () => {
  await using running = await Running.start();
  const recipients = Array.from({ length: 250 }, (_, i) => `r${i}@x`);
  running.bench.put("hold/4F2A00", queueFile({ recipients }));
  running.bench.put("hold/4F2A01");
  const lines = (await running.run("-j")).out.split("\n").slice(0, -1).map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((one) => one.recipients.length).sort(), [1, 250]);
});

Deno.test("-f wakes qmgr with Postfix's letters, and has flush go through its lists", async () => {
  await using running = await Running.start();
  assert.equal((await running.run("-f")).status, 0);
  for (let i = 0; i < 100 && (running.asked.length === 0 || running.flushed.length === 0); i++) {
    await new Promise((done) => setTimeout(done, 10));
  }
  assert.deepEqual(running.asked, [{ is: "trigger", bytes: "FADI" }]);
  assert.deepEqual(running.flushed, [{ is: "purge" }]);
});

Deno.test("-i asks for one message; a malformed id reaches nobody", async () => {
  await using running = await Running.start();
  assert.equal((await running.run("-i", "4F2A00")).status, 0);
  const bad = await running.run("-i", "b/ad");
  assert.equal(bad.status, 69);
  assert.equal(bad.err, 'postqueue: fatal: Cannot flush queue ID - invalid name: "b/ad"\n');
  assert.deepEqual(running.asked, [{ is: "deliver", queueId: "4F2A00", unthrottle: true }]);
});

Deno.test("-s asks flush for the site, and says with Postfix's words what is wrong with it", async () => {
  await using running = await Running.start('fast_flush_domains = ["site.test"]\n');
  assert.equal((await running.run("-s", "SITE.test")).status, 0);
  assert.deepEqual(running.flushed, [{ is: "sendSite", site: "site.test" }]);
  for (
    const [status, why] of [
      ["denied", 'Flush service is not configured for destination "site.test"'],
      ["bad", 'Invalid request: "site.test"'],
      ["fail", "Cannot flush mail queue - mail system is down"],
    ] as const
  ) {
    running.flushStatus = status;
    const done = await running.run("-s", "site.test");
    assert.deepEqual([done.status, done.err], [69, `postqueue: fatal: ${why}\n`]);
  }
  for (
    const [site, why] of [
      ["other.test", 'Flush service is not configured for destination "other.test"'],
      ["a b", 'Cannot flush mail queue - invalid destination: "a b"'],
      ["", 'Cannot flush mail queue - invalid destination: ""'],
    ] as const
  ) {
    const done = await running.run("-s", site);
    assert.equal(done.status, 69);
    assert.equal(done.err, `postqueue: fatal: ${why}\n`);
  }
});

Deno.test("when the mail system is down the owner gets the listing from the files, and no delivery can be asked for", async () => {
  using bench = new QueueBench();
  bench.put("hold/4F2A00");
  const listed = await bench.run("postqueue", run, ["-p"]);
  assert.equal(listed.status, 0);
  assert.match(
    listed.err,
    /^postqueue: warning: Mail system is down -- accessing queue directly \(Connect to the Postern showq service: No such file or directory\)\n$/,
  );
  assert.ok(listed.out.includes("4F2A00!"));
  for (const args of [["-f"], ["-i", "4F2A00"]]) {
    const done = await bench.run("postqueue", run, args);
    assert.equal(done.status, 69);
    assert.equal(done.err, "postqueue: fatal: Cannot flush mail queue - mail system is down\n");
  }
});

Deno.test("a command line without exactly one request is refused", async () => {
  using bench = new QueueBench();
  for (const args of [[], ["-p", "-f"], ["-p", "x"], ["-x"], ["-i"]]) {
    const done = await bench.run("postqueue", run, args);
    assert.equal(done.status, 69);
    assert.match(done.err, /usage: postqueue -f \| postqueue -i queueid/);
  }
});

const USERS: readonly (readonly [readonly string[], string, boolean])[] = [
  [["static:anyone"], "guest", true],
  [["alice", "bob"], "bob", true],
  [["alice", "bob"], "guest", false],
  [["!guest", "static:all"], "guest", false],
  [[], "guest", false],
];

for (const [list, name, allowed] of USERS) {
  Deno.test(`authorized users "${list.join(", ")}": ${name} ${allowed ? "may" : "may not"}`, async () => {
    const settings = {
      authorized_mailq_users: list,
      authorized_flush_users: [],
      mail_owner: "",
      queue_directory: "/nonexistent",
    };
    const asked = authorize("authorized_mailq_users", "view", settings, { uid: 4_000_000, name });
    if (allowed) await asked;
    else {
      await assert.rejects(asked, {
        message: `fatal: User ${name}(4000000) is not allowed to view the mail queue`,
        status: 77,
      });
    }
    // The superuser is in no list.
    await authorize("authorized_flush_users", "flush", settings, { uid: 0, name: "root" });
  });
}

Deno.test({
  name: "our listing and our postcat print Debian Postfix's own queue as its own programs do",
  ignore: !Postfix.available(),
  fn: async () => {
    await using postfix = await Postfix.start({
      settings: { default_transport: "retry:4.3.0 nobody is out there", smtputf8_enable: "yes" },
    });
    const text = "Subject: x\n\nbody\n";
    await postfix.run("/usr/sbin/sendmail", ["-f", "me@box.test", "a@one.test", '"b c"@two.test'], text);
    await postfix.run("/usr/sbin/sendmail", ["-f", "<>", "-V", "env", "-N", "failure", "a@one.test"], text);
    for (let i = 0; i < 100 && postfix.queued("defer").length < 2; i++) {
      await new Promise((done) => setTimeout(done, 100));
    }
    const want = await postfix.run("/usr/sbin/postqueue", ["-p"]);
    const wantJson = await postfix.run("/usr/sbin/postqueue", ["-j"]);
    // A copy: at the original's socket Postfix's own showq answers, in a protocol of its own.
    using bench = new QueueBench();
    for (const queue of ["deferred", "defer"]) {
      new Deno.Command("cp", { args: ["-a", `${postfix.queue}/${queue}`, bench.system.queue.root] })
        .outputSync();
    }
    const got = await bench.run("postqueue", run, ["-p"]);
    assert.equal(sorted(got.out), sorted(want.output));
    assert.equal(sorted((await bench.run("postqueue", run, ["-j"])).out), sorted(wantJson.output));
    const { run: postcat } = await import("../../commands/postcat.ts");
    for (const path of postfix.queued("deferred")) {
      for (const options of [[], ["-ob"], ["-e"]]) {
        const shown = await postfix.run("/usr/sbin/postcat", [...options, path]);
        assert.equal((await bench.run("postcat", postcat, [...options, path])).out, shown.output);
      }
    }
  },
});

testNeeding(
  ["root", "postfix"],
  "while the mail system is down requests fail as with Debian's postqueue, word for word",
  async () => {
    await using postfix = Postfix.make();
    using bench = new QueueBench();
    const requests = [
      ["-f"],
      ["-i", "ABCDEF1"],
      ["-i", "b/ad"],
      ["-i", ""],
      ["-s", "a b"],
      ["-s", "x.test"],
      ["-s", ""],
      [
        "-x",
      ],
      [],
      ["-p", "x"],
      ["-f", "-p"],
      ["-i"],
      ["-pf"],
    ];
    const wants = await Promise.all(requests.map((args) => postfix.run("/usr/sbin/postqueue", args)));
    for (const [i, args] of requests.entries()) {
      const want = wants[i]!;
      const got = await bench.run("postqueue", run, args);
      // Debian's tells of the socket that it could not reach as well.
      const lines = want.errors.split("\n").filter((line) =>
        !/warning: (connect to|unable to look up) /.test(line)
      );
      const errors = lines.join("\n").replace(/^\/usr\/sbin\//gm, "");
      assert.deepEqual({ status: got.status, out: got.out, err: got.err }, {
        status: want.status,
        out: want.output,
        err: errors,
      }, args.join(" "));
    }
  },
);

/** The listing with its messages in one order: directories have none. */
function sorted(listing: string): string {
  return listing.split("\n\n").flatMap((block) => block.startsWith("{") ? block.split("\n") : [block])
    .map((block) => block.replace(/^-Queue ID-.*\n/, "")).sort().join("\n\n");
}
