import assert from "node:assert/strict";
import { type ChildOptions, MasterChild } from "../../../daemons/master/master_child.ts";
import { MasterService, type ServiceHost } from "../../../daemons/master/master_service.ts";
import type { Child } from "../../../lib/safe/process.ts";
import type { Service } from "../../../lib/server/service.ts";
import type { Plan } from "../../../lib/server/sandbox.ts";
import { until } from "../../commands/mail_system.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

/** A process of the test: it says and does what the test wants. */
class FakeProcess {
  readonly written: string[] = [];
  end!: (how: { status: number; signal: string }) => void;
  readonly child: Child;
  readonly #lines: string[] = [];
  #wake: (() => void) | undefined;

  constructor(pid: number) {
    const ended = new Promise<{ status: number; signal: string }>((resolve) => this.end = resolve);
    this.child = {
      pid,
      lines: this.#read(),
      write: (text) => void this.written.push(text),
      closeInput: () => {},
      kill: () => this.end({ status: -1, signal: "SIGKILL" }),
      ended,
    };
  }

  say(line: object | string): void {
    this.#lines.push(typeof line === "string" ? line : JSON.stringify(line));
    this.#wake?.();
  }

  async *#read(): AsyncGenerator<string> {
    for (;;) {
      while (this.#lines.length > 0) yield this.#lines.shift()!;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

class Bench {
  readonly lines: string[] = [];
  readonly processes: FakeProcess[] = [];
  readonly service: MasterService;
  clients: (() => void)[] = [];
  closed = 0;

  constructor(
    options: {
      resident?: boolean;
      /** The directory of a service that starts when it is asked. */
      kept?: string;
      limit?: number;
      throttleTime?: number;
      begin?: (process: FakeProcess) => void;
    } = {},
  ) {
    const note = (text: string) => void this.lines.push(text);
    const log = { info: note, warning: note, error: note, debug: () => {}, flush: () => {} };
    const host: ServiceHost = {
      log,
      throttleTime: options.throttleTime ?? 60,
      defaultProcessLimit: 100,
      start: (_plan, _descriptors, childOptions: ChildOptions) => {
        const process = new FakeProcess(1000 + this.processes.length);
        this.processes.push(process);
        options.begin?.(process);
        return Promise.resolve(
          new MasterChild(
            { command: "smtpd" } as Service,
            process.child,
            { log, security: () => {}, startHelper: () => {}, names: () => {}, killGroup: () => {} },
            childOptions,
          ),
        );
      },
    };
    const plan = {
      entry: { name: "test", type: "unix", processLimit: options.limit ?? 1 },
      service: { command: "smtpd", endsWhenIdle: options.resident !== true, processLimit: 1 },
      args: [],
      kept: options.kept === undefined ? undefined : [options.kept],
      boot: {},
    } as unknown as Plan;
    const listener = {
      descriptor: 9,
      noticeClient: () => new Promise<void>((resolve) => this.clients.push(resolve)),
      close: () => void this.closed++,
    };
    this.service = new MasterService(plan, [listener], undefined, host);
  }

  /** Begins, without a process, and has the first client come. */
  async startedByClient(): Promise<FakeProcess> {
    this.service.begin();
    assert.ok(await until(() => this.clients.length === 1));
    assert.equal(this.processes.length, 0);
    this.clients[0]!();
    return await this.started(1);
  }

  async started(count: number): Promise<FakeProcess> {
    assert.ok(
      await until(() => this.processes.length >= count),
      `${this.processes.length} of ${count} processes`,
    );
    assert.ok(await until(() => this.service.children.size > 0 || this.processes.length > count));
    return this.processes[count - 1]!;
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("a service on demand starts with its first client, and again with the next after its end", async () => {
  const bench = new Bench();
  const process = await bench.startedByClient();
  process.say({ word: "ready" });
  process.say({ word: "retiring" });
  assert.ok(
    await until(() => bench.clients.length === 2),
    "it waits for a client as soon as the process takes none",
  );
  process.end({ status: 0, signal: "" });
  bench.clients[1]!();
  await bench.started(2);
  assert.deepEqual(bench.lines, []);
});

Deno.test("a resident service is started at once, and replaced when it ends", async () => {
  const bench = new Bench({ resident: true });
  bench.service.begin();
  const process = await bench.started(1);
  process.say({ word: "ready" });
  await pause(5);
  process.end({ status: 0, signal: "" });
  await bench.started(2);
});

Deno.test("a service that starts when it is asked stays from its first client on", async () => {
  using directory = new TemporaryDirectory();
  const bench = new Bench({ resident: true, kept: directory.path });
  const process = await bench.startedByClient();
  process.say({ word: "ready" });
  await pause(5);
  process.end({ status: 0, signal: "" });
  await bench.started(2);
  assert.equal(bench.clients.length, 1);
});

Deno.test("a service that starts when it is asked is there from the start where it has kept something", async () => {
  using directory = new TemporaryDirectory();
  Deno.writeTextFileSync(directory.at("policy"), "");
  const bench = new Bench({ resident: true, kept: directory.path });
  bench.service.begin();
  await bench.started(1);
});

Deno.test("a new plan starts no service that waits for its first client", async () => {
  const bench = new Bench();
  bench.service.begin();
  assert.ok(await until(() => bench.clients.length === 1));
  bench.service.replan({ ...bench.service.plan, args: ["changed"] });
  await pause(20);
  assert.equal(bench.processes.length, 0);
  bench.clients[0]!();
  await bench.started(1);
});

Deno.test("a process that dies young is started again after a pause that doubles", async () => {
  const starts: number[] = [];
  const bench = new Bench({
    resident: true,
    begin: (process) => {
      starts.push(performance.now());
      process.end({ status: 1, signal: "" });
    },
  });
  bench.service.begin();
  assert.ok(await until(() => starts.length === 3));
  bench.service.stop();
  const [first, second] = [starts[1]! - starts[0]!, starts[2]! - starts[1]!];
  assert.ok(first >= 950 && second >= 1950 && second > first * 1.5, `${first} ${second}`);
  assert.ok(bench.lines.includes("smtpd: bad command startup -- throttling"));
  assert.ok(bench.lines.includes("process smtpd pid 1000 exit status 1"));
  await until(() => bench.service.children.size === 0);
});

Deno.test("the pause grows no longer than service_throttle_time", async () => {
  let starts = 0;
  const bench = new Bench({
    resident: true,
    throttleTime: 1,
    begin: (process) => (starts++, process.end({ status: 1, signal: "" })),
  });
  bench.service.begin();
  assert.ok(await until(() => starts === 4));
  bench.service.stop();
});

Deno.test("a process that ends with status 0 before it was ready is throttled too", async () => {
  const bench = new Bench({ resident: true, begin: (process) => process.end({ status: 0, signal: "" }) });
  bench.service.begin();
  assert.ok(await until(() => bench.lines.length > 0));
  await pause(100);
  assert.equal(bench.processes.length, 1);
  bench.service.stop();
  await pause(1000);
});

Deno.test("a process that was gone before master had it on its list is not on it for ever", async () => {
  const bench = new Bench({ resident: true, begin: (process) => process.end({ status: 1, signal: "" }) });
  bench.service.begin();
  assert.ok(await until(() => bench.lines.length > 0));
  assert.equal(bench.service.children.size, 0);
  bench.service.stop();
  await pause(1100);
});

Deno.test("another process is started only when all are full and the limit allows", async () => {
  const bench = new Bench({ resident: true, limit: 2 });
  bench.service.begin();
  const first = await bench.started(1);
  first.say({ word: "ready" });
  first.say({ word: "alive", busy: 99, used: 500 });
  await pause(20);
  assert.equal(bench.processes.length, 1);
  first.say({ word: "alive", busy: 100, used: 500 });
  const second = await bench.started(2);
  second.say({ word: "alive", busy: 100, used: 500 });
  await pause(20);
  assert.equal(bench.processes.length, 2);
  assert.equal(bench.lines.filter((line) => line.includes('has reached its process limit "2"')).length, 1);
});

Deno.test("a malformed status line ends the child that wrote it", async () => {
  for (
    const line of ["", "x", "{}", "[]", "null", '{"word":"root"}', '{"word":"helper","token":{"toString":1}}']
  ) {
    const bench = new Bench({ resident: true });
    bench.service.begin();
    const process = await bench.started(1);
    process.say({ word: "ready" });
    process.say(line);
    if (line.includes("helper")) continue; // answered by the supervisor
    assert.ok(
      await until(() => bench.lines.some((text) => text.startsWith("killing process smtpd pid 1000"))),
      line,
    );
    bench.service.stop();
  }
});

Deno.test("a limit of one process holds while the old one finishes: its successor waits", async () => {
  const bench = new Bench({ resident: true });
  bench.service.begin();
  const first = await bench.started(1);
  first.say({ word: "ready" });
  bench.service.replan({ ...bench.service.plan, args: ["changed"] });
  assert.ok(first.written.some((text) => text.includes("retire")));
  await pause(20);
  assert.equal(bench.processes.length, 1);
  first.end({ status: 0, signal: "" });
  await bench.started(2);
});

Deno.test("a plan that is the same leaves the processes alone", async () => {
  const bench = new Bench({ resident: true });
  bench.service.begin();
  const first = await bench.started(1);
  bench.service.replan({ ...bench.service.plan });
  await pause(20);
  assert.deepEqual(first.written, []);
});
