/**
 * Helper processes under the flags that master gives them. Not a test itself.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import type net from "node:net";
import { IpcClient } from "../../../lib/ipc/client.ts";
import { MAILBOX } from "../../../lib/proto/protocols.ts";
import { Channel } from "../../../lib/safe/channel.ts";
import {
  type AnyHelperTask,
  type Boot,
  formatLine,
  type HelperRequest,
  type HelperTask,
  type SharedHelperTask,
} from "../../../lib/server/boot.ts";
import { locateCode } from "../../../lib/server/code_location.ts";
import { daemonEnvironment, hardeningFlags } from "../../../lib/server/hardening.ts";

const SETTINGS = {
  deliver_lock_attempts: 20,
  deliver_lock_delay: 1,
  line_length_limit: 2048,
  mailbox_delivery_lock: ["fcntl", "dotlock"],
  mailbox_size_limit: 0,
  myhostname: "mx.test",
  stale_lock_time: 500,
  strict_mailbox_ownership: true,
  virtual_mailbox_limit: 0,
  virtual_mailbox_lock: ["fcntl", "dotlock"],
};

/** Helper processes under the flags that master gives them. */
export class Processes implements AsyncDisposable {
  readonly children: ChildProcess[] = [];
  errors = "";
  /** What they say to master. */
  output = "";
  /** What the program is started with, as strace. */
  readonly #through: readonly string[];

  constructor(through: readonly string[] = []) {
    this.#through = through;
  }

  start(request: HelperRequest): Promise<IpcClient<typeof MAILBOX>> {
    return this.run(request as HelperTask | SharedHelperTask);
  }

  /** Starts the helper of a task. */
  run(task: AnyHelperTask): Promise<IpcClient<typeof MAILBOX>> {
    const code = locateCode(Deno.execPath());
    const entry = code.entry(task.kind === "program" ? "program" : "mailbox");
    const args = ["run", ...hardeningFlags(code, false), ...flagsOf(task), entry];
    const env = { ...daemonEnvironment(code) };
    const [program = "", ...rest] = [...this.#through, code.runtime, ...args];
    const child = spawn(program, rest, { stdio: ["pipe", "pipe", "pipe", "pipe"], env, cwd: "/" });
    this.children.push(child);
    child.stdin!.on("error", () => {});
    child.stdout!.on("data", (bytes: Uint8Array) => void (this.output += new TextDecoder().decode(bytes)));
    child.stderr!.on("data", (bytes: Uint8Array) => void (this.errors += new TextDecoder().decode(bytes)));
    const boot: Boot = {
      service: "mailbox",
      settings: SETTINGS,
      sockets: {},
      transports: [],
      listeners: 1,
      log: { syslogName: "postfix", hostName: "mx.test", format: "postfix", debug: false },
      maxUse: 0,
      maxIdle: 0,
      bootId: "boot",
      helper: task,
    };
    child.stdin!.write(formatLine(boot as never));
    return Promise.resolve(
      IpcClient.onChannel(MAILBOX, new Channel(child.stdio[3] as unknown as net.Socket)),
    );
  }

  kill(): void {
    for (const child of this.children) child.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await Promise.all(this.children.map((child) => ended(child)));
  }
}

/** The permissions of a task. */
function flagsOf(task: AnyHelperTask): string[] {
  if (task.kind === "program") return [`--allow-run=${task.program}`];
  if (task.kind === "files") {
    return [`--allow-read=${[...task.files, ...(task.home === "" ? [] : [task.home])].join(",")}`];
  }
  const isMbox = task.kind === "mailbox" && task.format === "mbox";
  const paths = isMbox ? `${task.path},${task.path}.lock` : task.path;
  const files = task.kind === "mailbox" ? task.files ?? [] : [];
  return [`--allow-read=${[paths, ...files].join(",")}`, `--allow-write=${paths}`];
}

/** Resolves when a process has ended. */
export function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}
