import assert from "node:assert/strict";
import net from "node:net";
import { mailboxHandler } from "../../../daemons/mailbox/mailbox_session.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import { IpcServer } from "../../../lib/ipc/server.ts";
import { Maildir } from "../../../lib/mail/mailbox_maildir.ts";
import { MailboxSyncs } from "../../../lib/mail/mailbox_sync.ts";
import { Mbox } from "../../../lib/mail/mailbox_mbox.ts";
import { type Mailbox, type MailboxDelivery } from "../../../lib/mail/mailbox_writer.ts";
import { MailboxError } from "../../../lib/mail/mailbox_outcome.ts";
import { MAILBOX } from "../../../lib/proto/protocols.ts";
import { Channel } from "../../../lib/safe/channel.ts";
import { type HelperRequest, type HelperTask } from "../../../lib/server/boot.ts";
import { MailboxHelperPool } from "../../../lib/server/mailbox_helper.ts";
import { encodeText } from "../../../lib/vstring/byte_builder.ts";

const DECODER = new TextDecoder();

/** A mailbox in memory; what it does can be told per test. */
class MemoryMailbox implements Mailbox {
  readonly delivered: string[] = [];
  aborted = 0;
  /** Called at each step: "begin", "write", "finish". */
  onStep: (step: string) => void | Promise<void> = () => {};

  async begin(sender: string): Promise<MailboxDelivery> {
    await this.onStep("begin");
    let text = `${sender}:`;
    return {
      write: (content) => {
        this.onStep("write");
        text += DECODER.decode(content);
      },
      finish: async () => {
        await this.onStep("finish");
        this.delivered.push(text);
      },
      abort: () => void this.aborted++,
    };
  }
}

/** Helpers as real servers on real sockets in this process; each start is counted by path. */
class Helpers implements AsyncDisposable {
  readonly starts: string[] = [];
  readonly channels: Channel[] = [];
  readonly troubles: string[] = [];
  readonly mailboxes = new Map<string, Mailbox>();
  refusal: string | undefined;
  silence = 100;
  readonly #directory = Deno.makeTempDirSync();

  async start(request: HelperRequest): Promise<IpcClient<typeof MAILBOX>> {
    const task = request as HelperTask;
    this.starts.push(task.path);
    if (this.refusal !== undefined) throw new Error(this.refusal);
    const mailbox = this.mailboxes.get(task.path)!;
    const ipc = new IpcServer(
      MAILBOX,
      mailboxHandler((path) => path === "" ? mailbox : this.mailboxes.get(`${task.path}/${path}`)!, {
        refused: () => {},
        silenceLimit: this.silence,
      }),
      {
        trouble: (why) => void this.troubles.push(why),
      },
    );
    const socketPath = `${this.#directory}/${this.starts.length}`;
    const { promise: connected, resolve } = Promise.withResolvers<void>();
    const listener = net.createServer((socket) => {
      const channel = new Channel(socket);
      this.channels.push(channel);
      ipc.accept(channel);
      listener.close();
      resolve();
    });
    await new Promise<void>((ready) => listener.listen(socketPath, ready));
    const socket = net.createConnection(socketPath);
    await new Promise<void>((ready) => socket.once("connect", ready));
    await connected;
    return IpcClient.onChannel(MAILBOX, new Channel(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of this.channels) channel.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

function task(path: string, format: "maildir" | "mbox" = "maildir"): HelperTask {
  return { kind: "mailbox", path, format, user: "alice", uid: 1000, gid: 1000 };
}

function message(...pieces: string[]) {
  return {
    queueId: "4F2A",
    sender: "s@a",
    text: () => {
      const left = pieces.map((piece) => encodeText(piece));
      return { next: () => left.shift() };
    },
  };
}

function pool(helpers: Helpers, limit = 10, idle = 10): MailboxHelperPool {
  return new MailboxHelperPool({ start: (task) => helpers.start(task), limit, idle });
}

const OPTIONS = { sanitizeOps: false, sanitizeResources: false };

Deno.test("A message reaches the mailbox, and the next one uses the same helper", OPTIONS, async () => {
  await using helpers = new Helpers();
  const mailbox = new MemoryMailbox();
  helpers.mailboxes.set("/a", mailbox);
  const helperPool = pool(helpers);
  const outcome = await helperPool.deliver(task("/a"), message("one ", "message"));
  assert.deepEqual(outcome, { result: "sent", status: "2.0.0", reason: "delivered to maildir" });
  await helperPool.deliver(task("/a"), message("other"));
  assert.deepEqual(mailbox.delivered, ["s@a:one message", "s@a:other"]);
  assert.deepEqual(helpers.starts, ["/a"]);
});

Deno.test("Another mailbox, user or format is another helper", OPTIONS, async () => {
  await using helpers = new Helpers();
  for (const path of ["/a", "/b"]) helpers.mailboxes.set(path, new MemoryMailbox());
  const helperPool = pool(helpers);
  await helperPool.deliver(task("/a"), message("x"));
  await helperPool.deliver(task("/b"), message("x"));
  await helperPool.deliver({ ...task("/a"), uid: 1001 }, message("x"));
  await helperPool.deliver(task("/a", "mbox"), message("x"));
  assert.equal(helpers.starts.length, 4);
});

Deno.test("At the limit the helper that was unused for longest makes room", OPTIONS, async () => {
  await using helpers = new Helpers();
  for (const path of ["/a", "/b", "/c"]) helpers.mailboxes.set(path, new MemoryMailbox());
  const helperPool = pool(helpers, 2);
  for (const path of ["/a", "/b", "/a", "/c"]) await helperPool.deliver(task(path), message("x"));
  assert.equal(helperPool.size, 2);
  await helperPool.deliver(task("/a"), message("x"));
  assert.deepEqual(helpers.starts, ["/a", "/b", "/c"]);
  await helperPool.deliver(task("/b"), message("x"));
  assert.deepEqual(helpers.starts, ["/a", "/b", "/c", "/b"]);
});

Deno.test(
  "At the limit a helper that was at work just now is not ended for another mailbox",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    for (const path of ["/a", "/b"]) helpers.mailboxes.set(path, new MemoryMailbox());
    const start = (asked: HelperRequest) => helpers.start(asked);
    const helperPool = new MailboxHelperPool({ start, limit: 1, idle: 0, settled: 60_000, patience: 60_000 });
    await helperPool.deliver(task("/a"), message("x"));
    const waiting = Array.from({ length: 5 }, () => helperPool.deliver(task("/b"), message("x")));
    for (let i = 0; i < 5; i++) await helperPool.deliver(task("/a"), message("x"));
    assert.deepEqual(helpers.starts, ["/a"]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    helperPool.endIdle();
    const outcomes = await Promise.all(waiting);
    assert.ok(outcomes.every(({ result }) => result === "sent"));
    // What came for the other mailbox meanwhile took one start.
    assert.deepEqual(helpers.starts, ["/a", "/b"]);
  },
);

Deno.test(
  "A mailbox that waited long enough gets the room of a helper that is always in use",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    for (const path of ["/a", "/b"]) helpers.mailboxes.set(path, new MemoryMailbox());
    const start = (asked: HelperRequest) => helpers.start(asked);
    const helperPool = new MailboxHelperPool({ start, limit: 1, idle: 10, settled: 60_000, patience: 20 });
    await helperPool.deliver(task("/a"), message("x"));
    assert.equal((await helperPool.deliver(task("/b"), message("x"))).result, "sent");
    assert.deepEqual(helpers.starts, ["/a", "/b"]);
  },
);

Deno.test(
  "The mailboxes below a shared directory have one helper for each user and group",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    const mailboxes = new Map(
      ["/base/a", "/base/b/c", "/basement"].map((path) => [path, new MemoryMailbox()]),
    );
    for (const [path, mailbox] of mailboxes) helpers.mailboxes.set(path, mailbox);
    const start = (asked: HelperRequest) => helpers.start(asked);
    const helperPool = new MailboxHelperPool({ start, limit: 10, idle: 10, sharedBelow: "/base" });
    for (const path of mailboxes.keys()) await helperPool.deliver(task(path), message(path));
    await helperPool.deliver(task("/base/a", "mbox"), message("again"));
    assert.deepEqual(helpers.starts, ["/base", "/basement"]);
    assert.deepEqual([...mailboxes.values()].map(({ delivered }) => delivered), [
      ["s@a:/base/a", "s@a:again"],
      ["s@a:/base/b/c"],
      ["s@a:/basement"],
    ]);
    await helperPool.deliver({ ...task("/base/a"), uid: 1001 }, message("x"));
    await helperPool.deliver({ ...task("/base/a"), gid: 1001 }, message("x"));
    assert.deepEqual(helpers.starts, ["/base", "/basement", "/base", "/base"]);
  },
);

Deno.test("At the limit with all helpers at work a delivery waits for one of them", OPTIONS, async () => {
  await using helpers = new Helpers();
  const slow = new MemoryMailbox();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  slow.onStep = (step) => step === "finish" ? gate : undefined;
  helpers.mailboxes.set("/a", slow).set("/b", new MemoryMailbox());
  const helperPool = pool(helpers, 1);
  const first = helperPool.deliver(task("/a"), message("x"));
  const second = helperPool.deliver(task("/b"), message("x"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(helpers.starts, ["/a"]);
  open();
  assert.deepEqual([(await first).result, (await second).result], ["sent", "sent"]);
  assert.deepEqual(helpers.starts, ["/a", "/b"]);
});

Deno.test("A helper without work for the idle time is ended, one at work is not", OPTIONS, async () => {
  await using helpers = new Helpers();
  const busy = new MemoryMailbox();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  busy.onStep = (step) => step === "finish" ? gate : undefined;
  helpers.mailboxes.set("/a", busy).set("/b", new MemoryMailbox());
  const helperPool = pool(helpers, 10, 0);
  const slow = helperPool.deliver(task("/a"), message("x"));
  await helperPool.deliver(task("/b"), message("x"));
  await new Promise((resolve) => setTimeout(resolve, 5));
  helperPool.endIdle();
  assert.equal(helperPool.size, 1);
  open();
  assert.equal((await slow).result, "sent");
});

Deno.test(
  "A helper that master refuses defers with master's reason, and the next delivery asks again",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    helpers.refusal = "there is no user";
    const helperPool = pool(helpers);
    const outcome = await helperPool.deliver(task("/a"), message("x"));
    assert.deepEqual(outcome, { result: "deferred", status: "4.3.0", reason: "there is no user" });
    helpers.refusal = undefined;
    helpers.mailboxes.set("/a", new MemoryMailbox());
    assert.equal((await helperPool.deliver(task("/a"), message("x"))).result, "sent");
  },
);

Deno.test(
  "A helper that dies before the end is replaced, and the message is sent from its beginning",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    const mailbox = new MemoryMailbox();
    let deaths = 0;
    mailbox.onStep = (step) => {
      if (step === "begin" && deaths++ === 0) helpers.channels[0]!.destroy();
    };
    helpers.mailboxes.set("/a", mailbox);
    // Longer than the window, so that the agent has not sent `finish` when the helper dies.
    const outcome = await pool(helpers).deliver(
      task("/a"),
      message(...Array.from({ length: 20 }, () => "x".repeat(60_000))),
    );
    assert.equal(outcome.result, "sent");
    assert.equal(mailbox.delivered.length, 1);
    assert.equal(mailbox.delivered[0]!.length, 4 + 20 * 60_000);
    assert.equal(helpers.starts.length, 2);
  },
);

Deno.test(
  "A helper that dies after finish leaves the message deferred, as nobody knows",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    const mailbox = new MemoryMailbox();
    mailbox.onStep = (step) => {
      if (step === "finish") helpers.channels[0]!.destroy();
    };
    helpers.mailboxes.set("/a", mailbox);
    const outcome = await pool(helpers).deliver(task("/a"), message("x"));
    assert.deepEqual([outcome.result, outcome.status], ["deferred", "4.3.0"]);
    assert.equal(helpers.starts.length, 1);
  },
);

Deno.test("A helper that went away between two messages is replaced", OPTIONS, async () => {
  await using helpers = new Helpers();
  helpers.mailboxes.set("/a", new MemoryMailbox());
  const helperPool = pool(helpers);
  await helperPool.deliver(task("/a"), message("x"));
  helpers.channels[0]!.destroy();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal((await helperPool.deliver(task("/a"), message("x"))).result, "sent");
  assert.equal(helpers.starts.length, 2);
});

Deno.test("An error of the mailbox at any step is the outcome, and the helper goes on", OPTIONS, async () => {
  await using helpers = new Helpers();
  const mailbox = new MemoryMailbox();
  helpers.mailboxes.set("/a", mailbox);
  const helperPool = pool(helpers);
  for (const bad of ["begin", "write", "finish"]) {
    mailbox.onStep = (step) => {
      if (step === bad) throw new MailboxError("5.2.2", "mailbox is full");
    };
    const outcome = await helperPool.deliver(task("/a"), message("x", "y"));
    assert.deepEqual(outcome, { result: "bounced", status: "5.2.2", reason: "mailbox is full" }, bad);
  }
  mailbox.onStep = () => {};
  assert.equal((await helperPool.deliver(task("/a"), message("x"))).result, "sent");
  assert.deepEqual([helpers.starts.length, mailbox.delivered.length, helpers.troubles], [1, 1, []]);
});

Deno.test("A message whose text cannot be read to the end is taken back", OPTIONS, async () => {
  await using helpers = new Helpers();
  const mailbox = new MemoryMailbox();
  helpers.mailboxes.set("/a", mailbox);
  const broken = {
    ...message(),
    text: () => {
      let count = 0;
      return {
        next: () => {
          if (count++ === 3) throw new Error("record is cut off");
          return encodeText("x");
        },
      };
    },
  };
  const helperPool = pool(helpers);
  await helperPool.deliver(task("/a"), message("x"));
  await assert.rejects(helperPool.deliver(task("/a"), broken), /cut off/);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual([mailbox.delivered.length, mailbox.aborted], [1, 1]);
});

Deno.test("An agent that goes silent in mid-message loses its delivery", OPTIONS, async () => {
  await using helpers = new Helpers();
  helpers.silence = 0.03;
  const mailbox = new MemoryMailbox();
  helpers.mailboxes.set("/a", mailbox);
  const client = await helpers.start(task("/a"));
  const { promise, resolve } = Promise.withResolvers<string>();
  const exchange = client.open(
    (reply) => reply.is === "outcome" && resolve(`${reply.status} ${reply.reason}`),
    () => {},
  );
  exchange.send("begin", { queueId: "4F2A", sender: "", path: "", format: "maildir" });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(mailbox.aborted, 1);
  exchange.send("finish", {});
  assert.match(await promise, /^4\.3\.0 Delivery agent was silent/);
});

Deno.test("Text or finish without begin ends the connection", OPTIONS, async () => {
  for (const type of ["content", "finish"] as const) {
    await using helpers = new Helpers();
    helpers.mailboxes.set("/a", new MemoryMailbox());
    const client = await helpers.start(task("/a"));
    const { promise, resolve } = Promise.withResolvers<string>();
    const exchange = client.open(() => resolve("reply"), (error) => resolve(error.kind));
    if (type === "content") exchange.send("content", { content: encodeText("x") });
    else exchange.send("finish", {});
    assert.equal(await promise, "lost");
    assert.match(helpers.troubles.join(), /no delivery was begun/);
  }
});

Deno.test(
  "Large messages for one mbox at the same time come out whole and one after the other",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    const directory = Deno.makeTempDirSync();
    try {
      const path = `${directory}/mbox`;
      const lock = { attempts: 100, delay: 0.01, stale: 500, dotlock: true, flock: true };
      helpers.mailboxes.set(
        path,
        new Mbox({ path, sizeLimit: 0, warn: () => {} }, { lock, owner: undefined }),
      );
      const helperPool = pool(helpers);
      const results = await Promise.all(Array.from({ length: 8 }, (_, i) => {
        const pieces = Array.from(
          { length: 30 },
          () => `${String.fromCharCode(97 + i).repeat(999)}\n`.repeat(30),
        );
        return helperPool.deliver(task(path, "mbox"), message(...pieces));
      }));
      assert.ok(results.every(({ result }) => result === "sent"), JSON.stringify(results));
      const bodies = Deno.readTextFileSync(path).split(/^From .*\n/m).slice(1);
      assert.equal(bodies.length, 8);
      for (const body of bodies) assert.equal(body, `${body[0]!.repeat(999)}\n`.repeat(900) + "\n");
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

Deno.test(
  "A hundred messages for one Maildir at the same time arrive through one helper",
  OPTIONS,
  async () => {
    await using helpers = new Helpers();
    const directory = Deno.makeTempDirSync();
    try {
      const path = `${directory}/box`;
      helpers.mailboxes.set(
        path,
        new Maildir({ path, sizeLimit: 0, warn: () => {} }, "host", new MailboxSyncs()),
      );
      const helperPool = pool(helpers);
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, i) => helperPool.deliver(task(path), message(`message ${i}\n`))),
      );
      assert.ok(results.every(({ result }) => result === "sent"));
      assert.equal([...Deno.readDirSync(`${path}/new`)].length, 100);
      assert.deepEqual(helpers.starts, [path]);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);
