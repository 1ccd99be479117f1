/**
 * What one message costs in things that can be counted: system calls on files, writes between processes, bytes. Times
 * belong to the benchmark; these counts hold on any machine, so a step that somebody adds to the way of a message
 * shows here.
 */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
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
type Kind = "open" | "rename" | "unlink" | "sync" | "stat" | "chmod" | "write" | "send";
/** System calls by what they are to us. */
const KINDS: Readonly<Record<Kind, readonly string[]>> = {
  open: ["open", "openat"],
  rename: ["rename", "renameat", "renameat2"],
  unlink: ["unlink", "unlinkat"],
  sync: ["fsync", "fdatasync"],
  stat: ["stat", "lstat", "fstat", "newfstatat", "statx"],
  chmod: ["chmod", "fchmod", "fchmodat"],
  write: ["write", "writev", "pwrite64"],
  send: ["sendto", "sendmsg"],
};

/** Calls of a message, at most; what is not named is 0. */
const BUDGET: Readonly<Record<string, Partial<Record<Kind, number>>>> = {
  // MAIL, RCPT, DATA, the message; to cleanup: begin, the message.
  smtpd: { send: 6 },
  // The file, the journal; to smtpd: queue id, status; to qmgr: the message.
  cleanup: { open: 1, rename: 1, sync: 1, stat: 1, write: 2, send: 3 },
  // The runtime looks at a file before it removes it. To discard: the delivery.
  qmgr: { rename: 1, unlink: 1, stat: 1, send: 1 },
  // To qmgr: the outcome.
  discard: { send: 1 },
};
/** Calls in a hundred messages beyond that: a segment of the journal comes and goes, a connection is made. */
const SLACK = 15;
/** Bytes that all of them write for a message of 1 KiB: twice over the wire, to its file and to the journal. */
const BYTES = 9000;

/** Sends messages one after the other over one session. */
async function send(client: SmtpClient, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await client.says("MAIL FROM:<me@bench.test>", "RCPT TO:<you@far.test>", "DATA");
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

testNeeding(
  ["root", "strace"],
  "the way of a message costs no more calls and bytes than its budget",
  async () => {
    await using system = await Postern.start({ settings: SETTINGS });
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.say("EHLO bench.test");
    await send(client, 20);
    await system.untilEmpty();
    await using stack = new AsyncDisposableStack();
    const traces = new Map<string, Trace>();
    for (const daemon of Object.keys(BUDGET)) {
      const [pid, ...more] = system.pids(daemon);
      assert.deepEqual(more, []);
      traces.set(daemon, stack.use(await Trace.attach(pid!, Object.values(KINDS).flat().join(","))));
    }
    await send(client, MESSAGES);
    await system.untilEmpty();
    let bytes = 0;
    for (const [daemon, trace] of traces) {
      const calls = trace.calls().filter(({ text }) => !isOverhead(text));
      for (const kind of Object.keys(KINDS) as (Kind)[]) {
        const found = calls.filter((call) => isOf(call, kind));
        const most = (BUDGET[daemon]![kind] ?? 0) * MESSAGES + SLACK;
        assert.ok(
          found.length <= most,
          `${daemon}: ${found.length} calls of ${kind}, at most ${most}; the last: ${found.at(-1)?.text}`,
        );
        if (kind === "write" || kind === "send") bytes += found.reduce((sum, { result }) => sum + result, 0);
      }
    }
    assert.ok(
      bytes / MESSAGES <= BYTES,
      `${bytes / MESSAGES} bytes are written for a message, at most ${BYTES}`,
    );
    assert.ok(bytes / MESSAGES > 3 * BODY.length, "the calls were seen");
  },
);
