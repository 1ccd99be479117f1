/**
 * One entry of master.toml at work: its listening socket, its processes, when to start one and when to wait.
 */
import type { Logger } from "../../lib/log/log.ts";
import { listDirectory } from "../../lib/safe/file.ts";
import type { BoundListener } from "../../lib/safe/process.ts";
import type { Plan } from "../../lib/server/sandbox.ts";
import type { ChildOptions, MasterChild } from "./master_child.ts";

/** First pause after a process that died young, seconds; it doubles up to service_throttle_time. */
const FIRST_PAUSE = 1;
/** A process that ends badly before this age has died young, milliseconds. */
const YOUNG = 2000;
/** A process with this many sessions is full: another is started if the limit allows. */
const FULL = 100;

/** What the service needs of master. */
export interface ServiceHost {
  readonly log: Logger;
  /** Longest pause before a service whose processes die young is tried again, seconds. */
  readonly throttleTime: number;
  readonly defaultProcessLimit: number;
  start(plan: Plan, descriptors: readonly number[], options: ChildOptions): Promise<MasterChild>;
}

/** Keeps the processes of one service. */
export class MasterService {
  plan: Plan;
  /** One for a unix socket, one for each address of a network service. */
  readonly listeners: readonly BoundListener[];
  /** Second listener, where mailbox helpers arrive. */
  readonly helperListener: BoundListener | undefined;
  readonly #host: ServiceHost;
  readonly #children = new Set<MasterChild>();
  #starting = 0;
  #pause = 0;
  #resumeAt = 0;
  #noticing = false;
  #closed = false;
  /** A process was started. */
  #begun = false;
  #warnedFull = -Infinity;

  constructor(
    plan: Plan,
    listeners: readonly BoundListener[],
    helperListener: BoundListener | undefined,
    host: ServiceHost,
  ) {
    this.plan = plan;
    this.listeners = listeners;
    this.helperListener = helperListener;
    this.#host = host;
  }

  get name(): string {
    return this.plan.entry.name;
  }

  get children(): ReadonlySet<MasterChild> {
    return this.#children;
  }

  /**
   * Network services and those that may not end when idle run from the start, or from their first client on where that is
   * enough for them; others wait for a client.
   */
  get resident(): boolean {
    const { entry, service, kept } = this.plan;
    if (entry.type === "inet") return true;
    return !service.endsWhenIdle &&
      (kept === undefined || this.#begun || kept.some((directory) => listDirectory(directory).length > 0));
  }

  /** Most processes at once. */
  get limit(): number {
    const declared = this.plan.entry.processLimit ?? this.plan.service.processLimit;
    return declared > 0 ? declared : this.#host.defaultProcessLimit;
  }

  /** Starts what must run, and waits for clients of the rest. */
  begin(): void {
    if (this.resident) this.ensure();
    else this.#notice();
  }

  /** Starts a process if none takes new work. */
  ensure(): void {
    if (this.#closed || this.#working() > 0) return;
    // A service that may have one process must not have two for a moment: the retired one finishes first.
    if (this.#children.size + this.#starting >= this.limit) return;
    const wait = this.#resumeAt - performance.now();
    if (wait > 0) setTimeout(() => this.ensure(), wait);
    else this.#start();
  }

  /** Starts one more when all are full. */
  balance(): void {
    const working = [...this.#children].filter((child) => !child.retiring);
    if (working.length === 0 || working.some((child) => child.busy < FULL)) return;
    if (this.#children.size + this.#starting < this.limit) this.#start();
    else this.#full(working);
  }

  /** Tells processes that all are full and there may be no more. */
  #full(working: readonly MasterChild[]): void {
    for (const child of working) child.tell({ word: "stress" });
    if (performance.now() - this.#warnedFull > 1_000_000) {
      this.#warnedFull = performance.now();
      this.#host.log.warning(
        `service "${this.name}" has reached its process limit "${this.limit}": new clients may experience noticeable delays`,
      );
    }
  }

  /** Passes the wake-up timer on, starting the service when it does not run. */
  wakeup(): void {
    const child = [...this.#children].find((one) => !one.retiring);
    if (child !== undefined) child.tell({ word: "wakeup" });
    else this.ensure();
  }

  /** Takes a new plan: processes that were started with another one are retired. */
  replan(plan: Plan): void {
    const changed = !samePlan(this.plan, plan);
    this.plan = plan;
    this.#pause = 0;
    this.#resumeAt = 0;
    // What was throttled is tried again: the new configuration may be its cure.
    if (!changed || this.#children.size === 0) return this.#again();
    for (const child of this.#children) child.retire();
    this.ensure();
  }

  /** Takes no new clients; processes finish what they have. */
  close(): void {
    this.#closed = true;
    for (const listener of this.listeners) listener.close();
    this.helperListener?.close();
    for (const child of this.#children) child.retire();
  }

  /** Sees to it that nothing is started any more. */
  stop(): void {
    this.#closed = true;
  }

  #working(): number {
    return this.#starting + [...this.#children].filter((child) => !child.retiring).length;
  }

  #start(): void {
    this.#begun = true;
    this.#starting++;
    const descriptors = this.listeners.map((listener) => listener.descriptor);
    if (this.helperListener !== undefined) descriptors.push(this.helperListener.descriptor);
    this.#host.start(this.plan, descriptors, {
      retiring: () => this.#onRetiring(),
      ended: (child, how) => this.#onEnded(child, how),
      alive: () => this.balance(),
    }).then(
      (child) => {
        this.#starting--;
        this.#children.add(child);
        child.follow();
        if (this.#closed) child.retire();
      },
      (error) => {
        this.#starting--;
        this.#host.log.warning(`${error instanceof Error ? error.message : error} -- throttling`);
        this.#throttle();
        this.#again();
      },
    );
  }

  #onRetiring(): void {
    this.#again();
  }

  #onEnded(child: MasterChild, how: { status: number; signal: string }): void {
    this.#children.delete(child);
    const command = this.plan.service.command;
    const bad = how.status !== 0 || how.signal !== "";
    if (!child.expected && (bad || !child.ready)) {
      const what = how.signal === "" ? `exit status ${how.status}` : `killed by signal ${how.signal}`;
      this.#host.log.warning(`process ${command} pid ${child.pid} ${what}`);
    }
    // One that never was ready has not worked, whatever its exit status says.
    const old = child.ready && child.age >= YOUNG;
    if (child.expected || old || (child.ready && !bad)) this.#pause = 0;
    else {
      this.#throttle();
      this.#host.log.warning(`${command}: bad command startup -- throttling`);
    }
    this.#again();
  }

  #again(): void {
    if (this.#closed || this.#working() > 0) return;
    if (this.resident) this.ensure();
    else this.#notice();
  }

  #throttle(): void {
    this.#pause = Math.min(this.#host.throttleTime, Math.max(FIRST_PAUSE, this.#pause * 2));
    this.#resumeAt = performance.now() + this.#pause * 1000;
  }

  /**
   * Waits for a client of a service that has no process. The client's connection is dropped unserved: it tries
   * again and then waits in the socket's queue, which the process that is started takes over. No accept is left
   * pending while a process runs, so none of its clients is taken from it.
   */
  #notice(): void {
    if (this.#noticing || this.#closed) return;
    this.#noticing = true;
    const wait = Math.max(0, this.#resumeAt - performance.now());
    setTimeout(() => {
      // Meanwhile the wake-up timer may have started a process: its first client must not be taken from it.
      if (this.#working() > 0 || this.#closed) {
        this.#noticing = false;
        return;
      }
      this.listeners[0]!.noticeClient().then(
        () => {
          this.#noticing = false;
          this.ensure();
        },
        () => this.#noticing = false, // the listener was closed
      );
    }, wait);
  }
}

/** True when a process started with one plan need not be replaced for the other. */
export function samePlan(a: Plan, b: Plan): boolean {
  return JSON.stringify([a.args, a.boot]) === JSON.stringify([b.args, b.boot]);
}
