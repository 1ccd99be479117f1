/**
 * Floods: many connections, many of them slow, and one client with far too many. A client that behaves gets its mail in,
 * whoever is turned away gets 421 or 450, and memory stays below daemon_heap_limit.
 *
 * The size here is that of a small flood: SMALL. `POSTERN_FLOOD=full deno test -A tests/attacks/flood_test.ts` makes one
 * of 2,000 connections, 500 of them slow, and a client with 100 sessions.
 *
 * @module
 */
import assert from "node:assert/strict";
import net from "node:net";
import { Postern } from "../support/postern.ts";
import { screenLog, withPostscreen } from "../daemons/postscreen/postscreen_support.ts";

interface Size {
  readonly idle: number;
  readonly slow: number;
  readonly greedy: number;
  readonly messages: number;
}

const SMALL: Size = { idle: 225, slow: 75, greedy: 40, messages: 10 };
const FULL: Size = { idle: 1400, slow: 500, greedy: 100, messages: 50 };
const SIZE = Deno.env.get("POSTERN_FLOOD") === "full" ? FULL : SMALL;

/** Connections that one client may have. */
const CONNECTION_LIMIT = 10;
/** How often a client that is told to come back does so. */
const RETRIES = 400;
const HEAP_LIMIT = 512;

/** A connection from an address of its own in 127.0.0.0/8. */
class FloodClient {
  readonly #socket: net.Socket;
  #input = "";
  ended = false;
  #wake: () => void = () => {};

  constructor(port: number, from: string) {
    this.#socket = net.connect({ port, host: "127.0.0.1", localAddress: from });
    this.#socket.on("data", (bytes: Uint8Array) => {
      this.#input += new TextDecoder().decode(bytes);
      this.#wake();
    });
    const end = () => {
      this.ended = true;
      this.#wake();
    };
    this.#socket.on("error", end).on("close", end).on("end", end);
  }

  /** The last line of the next reply; an empty string when the connection ends. */
  async reply(): Promise<string> {
    for (;;) {
      for (let end = this.#input.indexOf("\r\n"); end >= 0; end = this.#input.indexOf("\r\n")) {
        const line = this.#input.slice(0, end);
        this.#input = this.#input.slice(end + 2);
        if (line[3] !== "-") return line;
      }
      if (this.ended) return "";
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  send(text: string): void {
    if (!this.ended) this.#socket.write(text);
  }

  async say(line: string): Promise<string> {
    this.send(`${line}\r\n`);
    return await this.reply();
  }

  close(): void {
    this.#socket.destroy();
    this.ended = true;
    this.#wake();
  }
}

/** The n-th address of a group. */
function address(group: number, n: number): string {
  return `127.${group}.${Math.floor(n / 250)}.${1 + n % 250}`;
}

/** Who floods: replies are kept by their code. */
class Flood implements Disposable {
  readonly clients: FloodClient[] = [];
  readonly codes = new Map<string, number>();
  readonly #trickle: ReturnType<typeof setInterval>[] = [];

  /** Connections that say nothing, and those that say a byte now and then. */
  start(port: number): void {
    for (let i = 0; i < SIZE.greedy; i++) this.#add(new FloodClient(port, address(13, 0)));
    for (let i = 0; i < SIZE.idle; i++) this.#add(new FloodClient(port, address(11, i)));
    for (let i = 0; i < SIZE.slow; i++) {
      const client = this.#add(new FloodClient(port, address(12, i)));
      this.#trickle.push(setInterval(() => client.send("E"), 500));
    }
  }

  #add(client: FloodClient): FloodClient {
    this.clients.push(client);
    this.#listen(client);
    return client;
  }

  async #listen(client: FloodClient): Promise<void> {
    for (let reply = await client.reply(); reply !== ""; reply = await client.reply()) {
      const code = reply.slice(0, 3);
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
    }
  }

  [Symbol.dispose](): void {
    for (const timer of this.#trickle) clearInterval(timer);
    for (const client of this.clients) client.close();
  }
}

/** Sends a message as a mail server does that comes back when it is told to; returns how often it had to. */
async function sendPatiently(port: number, from: string): Promise<number> {
  for (let tries = 0; tries < RETRIES; tries++) {
    const client = new FloodClient(port, from);
    try {
      const replies = [await client.reply()];
      for (
        const line of ["EHLO good.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@example.test>", "DATA"]
      ) {
        if (/^[23]/.test(replies.at(-1)!)) replies.push(await client.say(line));
      }
      if (replies.at(-1)!.startsWith("354")) replies.push(await client.say("Subject: x\r\n\r\ntext\r\n."));
      if (replies.at(-1)!.startsWith("250 2.0.0 Ok: queued")) return tries;
      assert.match(replies.at(-1)!, /^(4|$)/, "a client that behaves is never refused for good");
    } finally {
      client.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not accepted in ${RETRIES} attempts`);
}

/** Megabytes of memory that a process has. */
function residentSize(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(line![1]) / 1024;
}

const SETTINGS = {
  mynetworks: '["192.0.2.0/24"]',
  smtpd_client_event_limit_exceptions: "[]",
  smtpd_client_connection_count_limit: String(CONNECTION_LIMIT),
  smtpd_timeout: '"${stress?{3}:{300}}s"',
  daemon_heap_limit: String(HEAP_LIMIT),
  notify_classes: "[]",
};

Deno.test("flood: with postscreen off, a client that behaves gets its mail in past smtpd's limits", async () => {
  await using system = await Postern.start({
    settings: { ...SETTINGS, smtpd_session_limit: String(Math.ceil(SIZE.idle / 4)) },
    services: (text) => text.replace('command = "smtpd"', 'command = "smtpd"\nprocess_limit = 2'),
  });
  using flood = new Flood();
  flood.start(system.port);
  for (let i = 0; i < SIZE.messages; i++) await sendPatiently(system.port, address(14, i));
  await system.mail("one", SIZE.messages);
  const unexpected = [...flood.codes.keys()].filter((code) => !["220", "421", "450", "500"].includes(code));
  assert.deepEqual(unexpected, []);
  assert.ok(flood.codes.get("421")! > 0);
  for (const pid of system.pids("smtpd")) {
    assert.ok(residentSize(pid) < HEAP_LIMIT, `${residentSize(pid)} MB`);
  }
  await system.untilLogged(/Connection concurrency limit exceeded: \d+ from localhost\[127\.13\.0\.1\]/);
  assert.doesNotMatch(system.log(), /panic|fatal|security event/);
});

Deno.test("flood: with postscreen on, a client that it knows does not notice, and strangers are turned away", async () => {
  await using system = await Postern.start({
    settings: {
      ...SETTINGS,
      postscreen_pre_queue_limit: String(Math.ceil(SIZE.idle / 4)),
      postscreen_session_limit: "5000",
      postscreen_greet_wait: '"2s"',
    },
    services: withPostscreen,
  });
  const known = address(15, 0);
  await sendPatiently(system.port, known);
  using flood = new Flood();
  flood.start(system.port);
  await system.untilLogged(/entering STRESS mode with \d+ connections/);
  await system.untilLogged(/reject: connect from \[127\.1[123]\.\d+\.\d+\]:\d+: all screening ports busy/);
  let retries = 0;
  for (let i = 1; i < SIZE.messages; i++) retries += await sendPatiently(system.port, known);
  await system.mail("one", SIZE.messages);
  // It may meet a moment when too many wait for smtpd; it is not tested again.
  assert.ok(retries < SIZE.messages, `${retries} retries`);
  assert.equal(screenLog(system).filter((line) => line.startsWith(`PASS NEW [${known}]`)).length, 1);
  const unexpected = [...flood.codes.keys()].filter((code) => !["220", "421", "450", "500"].includes(code));
  assert.deepEqual(unexpected, []);
  for (const pid of [...system.pids("postscreen"), ...system.pids("smtpd")]) {
    assert.ok(residentSize(pid) < HEAP_LIMIT, `${residentSize(pid)} MB`);
  }
  assert.doesNotMatch(system.log(), /panic|fatal|security event/);
});
