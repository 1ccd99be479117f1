/**
 * One child process: what master tells it, what it says of itself, and how long it may be silent.
 */
import type { Logger } from "../../lib/log/log.ts";
import type { Child } from "../../lib/safe/process.ts";
import { type Control, formatLine, parseStatus, type Status } from "../../lib/server/boot.ts";
import type { Service } from "../../lib/server/service.ts";
import { printable } from "../../lib/vstring/printable.ts";

/** What the owner of a child wants to hear. */
export interface ChildOptions {
  retiring(): void;
  ended(child: MasterChild, how: { readonly status: number; readonly signal: string }): void;
  alive(): void;
}

/** What master itself does for a child. */
export interface ChildHost {
  readonly log: Logger;
  security(child: MasterChild, text: string): void;
  startHelper(child: MasterChild, request: Extract<Status, { word: "helper" }>): void;
  /** Nothing in what a child says is of the form that it should be until it was looked at. */
  names(child: MasterChild, items: unknown): void;
  killGroup(child: MasterChild, leader: unknown): void;
}

/** A process that master started. */
export class MasterChild {
  readonly service: string;
  readonly pid: number;
  /** When it was started, milliseconds since 1970. */
  readonly started = Date.now();
  readonly #born = performance.now();
  ready = false;
  retiring = false;
  /** Its end is no surprise: it was told to end, or ends itself. */
  expected = false;
  busy = 0;
  used = 0;
  lastAlive = performance.now();
  readonly #child: Child;
  readonly #host: ChildHost;
  readonly #options: ChildOptions;

  /** It ends behind the others when the mail system stops. */
  readonly endsLast: boolean;

  constructor({ command, endsLast }: Service, child: Child, host: ChildHost, options: ChildOptions) {
    this.service = command;
    this.endsLast = endsLast === true;
    this.pid = child.pid;
    this.#child = child;
    this.#host = host;
    this.#options = options;
  }

  /** Milliseconds since it was started. */
  get age(): number {
    return performance.now() - this.#born;
  }

  /** From now on its owner hears of it: to be called once when the owner has it on its list, and not before. */
  follow(): void {
    this.#listen().catch((error) => this.kill(`its status channel failed: ${error}`));
    this.#child.ended.then((how) => this.#options.ended(this, how));
  }

  tell(control: Control): void {
    this.#child.write(formatLine(control));
  }

  /** Tells it to take no new work and to end when it is done. */
  retire(): void {
    if (this.expected) return;
    this.expected = true;
    this.retiring = true;
    this.tell({ word: "retire" });
  }

  /** Closes its standard input: it ends at once. */
  release(): void {
    this.expected = true;
    this.retiring = true;
    this.#child.closeInput();
  }

  kill(why: string): void {
    this.#host.log.warning(`killing process ${this.service} pid ${this.pid}: ${why}`);
    this.#child.kill("SIGKILL");
  }

  async #listen(): Promise<void> {
    for await (const line of this.#child.lines) {
      const status = parseStatus(line);
      if (status === undefined) {
        this.kill(`malformed status line "${printable(line, 100)}"`);
        return;
      }
      this.lastAlive = performance.now();
      this.#take(status);
    }
  }

  #take(status: Status): void {
    switch (status.word) {
      case "ready":
        this.ready = true;
        return;
      case "alive":
        this.busy = Number(status.busy) || 0;
        this.used = Number(status.used) || 0;
        return this.#options.alive();
      case "retiring":
        this.expected = true;
        this.retiring = true;
        return this.#options.retiring();
      case "security":
        return this.#host.security(this, printable(String(status.text)));
      case "helper":
        return this.#host.startHelper(this, status);
      case "names":
        return this.#host.names(this, status.items);
      case "killGroup":
        return this.#host.killGroup(this, status.leader);
    }
  }
}
