/**
 * What one message costs in things that can be counted: system calls on files, writes between processes, bytes. Times
 * belong to the benchmark; these counts hold on any machine, so a step that somebody adds to the way of a message
 * shows here.
 */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { fakeServer } from "../lib/smtp/fake_server.ts";
import { Postern } from "../support/postern.ts";
import { type Call, Trace } from "../support/strace.ts";
import { testNeeding } from "../support/tools.ts";

const SETTINGS = {
  default_transport: '"discard:"',
  mydestination: "[]",
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
};
const MESSAGES = 100;
const BODY = `Subject: cost\r\n\r\n${"x".repeat(70)}\r\n`.padEnd(1022, "y") + "\r\n";
type Kind =
  | "open"
  | "rename"
  | "unlink"
  | "link"
  | "sync"
  | "stat"
  | "chmod"
  | "lock"
  | "write"
  | "send";
/** System calls by what they are to us. */
const KINDS: Readonly<Record<Kind, readonly string[]>> = {
  open: ["open", "openat"],
  rename: ["rename", "renameat", "renameat2"],
  unlink: ["unlink", "unlinkat"],
  link: ["link", "linkat"],
  sync: ["fsync", "fdatasync"],
  stat: ["stat", "lstat", "fstat", "newfstatat", "statx"],
  chmod: ["chmod", "fchmod", "fchmodat"],
  lock: ["flock"],
  write: ["write", "writev", "pwrite64"],
  send: ["sendto", "sendmsg"],
};

/** Calls of a message, at most; what is not named is 0. */
type Budget = Readonly<Record<string, Partial<Record<Kind, number>>>>;

/** A message to discard. */
const DISCARDED: Budget = {
  // MAIL, RCPT, DATA, the message; to cleanup: begin, the message.
  smtpd: { send: 6 },
  // The file, the journal; to smtpd: queue id, status; to qmgr: the message.
  cleanup: { open: 1, rename: 1, sync: 1, stat: 1, write: 2, send: 3 },
  // The runtime looks at a file before it removes it. To discard: the delivery.
  qmgr: { rename: 1, unlink: 1, stat: 1, send: 1 },
  // To qmgr: the outcome.
  discard: { send: 1 },
};
/** The same message relayed. */
const RELAYED: Budget = {
  // The file is looked at, opened and locked; to the server: the commands, the text; to qmgr: the outcome, the end.
  smtp: { stat: 1, open: 1, lock: 1, send: 4 },
};
/** The same into a Maildir. */
const DELIVERED: Budget = {
  // To qmgr: the outcome.
  virtual: { stat: 1, open: 1, lock: 1, send: 3 },
  // The folders and the file are looked at; tmp gets the file, new its name; both are synced, and the name in tmp goes.

  mailbox: { stat: 6, open: 2, sync: 2, link: 1, unlink: 1, write: 2 },
};
/** Calls in a hundred messages beyond that: a segment of the journal comes and goes, a connection is made. */
const SLACK = 15;
/** Bytes that all of them write for a message of 1 KiB: twice over the wire, to its file and to the journal. */
const BYTES = 9000;

/** Sends messages one after the other over one session. */
async function send(client: SmtpClient, to: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await client.says("MAIL FROM:<me@bench.test>", `RCPT TO:<${to}>`, "DATA");
    assert.match(await client.say(`${BODY}.`), /^250 2\.0\.0 Ok: queued/);
  }
}

function isOf({ text }: Call, kind: Kind): boolean {
  return KINDS[kind].some((name) => text.startsWith(`${name}(`));
}

/** Signs of life and the log (descriptors 0 to 2), and what wakes the runtime's own threads. */
function isOverhead(call: string): boolean {
  return /^\w+\([012]</.test(call) || call.includes("<anon_inode:[eventfd]>");
}

/** Sends messages, and holds that each daemon made no more calls than its budget says; gives the bytes that they wrote. */
async function holdTo(budget: Budget, system: Postern, to = "you@far.test"): Promise<number> {
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.say("EHLO bench.test");
  await send(client, to, 20);
  await system.untilEmpty();
  await using stack = new AsyncDisposableStack();
  const traces = new Map<string, Trace>();
  for (const daemon of Object.keys(budget)) {
    const [pid, ...more] = system.pids(daemon);
    assert.deepEqual(more, []);
    traces.set(daemon, stack.use(await Trace.attach(pid!, Object.values(KINDS).flat().join(","))));
  }
  await send(client, to, MESSAGES);
  await system.untilEmpty();
  let bytes = 0;
  for (const [daemon, trace] of traces) {
    const calls = trace.calls().filter(({ text }) => !isOverhead(text));
    for (const kind of Object.keys(KINDS) as (Kind)[]) {
      const found = calls.filter((call) => isOf(call, kind));
      const most = (budget[daemon]![kind] ?? 0) * MESSAGES + SLACK;
      assert.ok(
        found.length <= most,
        `${daemon}: ${found.length} calls of ${kind}, at most ${most}; the last: ${found.at(-1)?.text}`,
      );
      if (kind === "write" || kind === "send") bytes += found.reduce((sum, { result }) => sum + result, 0);
    }
    // Of many messages that come closely qmgr and discard hear and tell together: far fewer calls than messages.
    assert.ok(calls.length > 0, `the calls of ${daemon} were seen`);
  }
  return bytes / MESSAGES;
}

testNeeding(
  ["root", "strace"],
  "the way of a message costs no more calls and bytes than its budget",
  async () => {
    await using system = await Postern.start({ settings: SETTINGS });
    const bytes = await holdTo(DISCARDED, system);
    assert.ok(bytes <= BYTES, `${bytes} bytes are written for a message, at most ${BYTES}`);
    assert.ok(bytes > 3 * BODY.length, "the calls were seen");
  },
);

testNeeding(["root", "strace"], "a relayed message costs smtp no more calls than its budget", async () => {
  const server = fakeServer();
  try {
    const relay = { default_transport: '"smtp"', relayhost: `"[127.0.0.1]:${server.port}"` };
    await using system = await Postern.start({ settings: { ...SETTINGS, ...relay } });
    await holdTo(RELAYED, system);
    assert.equal(server.texts.length, 20 + MESSAGES);
  } finally {
    await server.stop();
  }
});

testNeeding(["root", "strace"], "a message into a Maildir costs no more calls than its budget", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  await holdTo(DELIVERED, system, "you@example.test");
  assert.equal(system.mailbox("you").length, 20 + MESSAGES);
});
