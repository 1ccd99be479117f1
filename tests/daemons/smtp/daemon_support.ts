/** Starts real daemons under their flags. Not a test itself. @module */
import { type ChildProcess, spawn } from "node:child_process";
import { bindUnix } from "../../../lib/safe/process.ts";
import type { Boot } from "../../../lib/server/boot.ts";
import { locateCode } from "../../../lib/server/code_location.ts";
import { daemonEnvironment, hardeningFlags } from "../../../lib/server/hardening.ts";

export interface Daemon {
  readonly socket: string;
  readonly log: { text: string };
  /** Resolves when the log holds the text; the log line follows the answer that a client sees. */
  logged(text: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a daemon on `directory/command` with exactly these permission flags. */
export function startDaemon(
  directory: string,
  command: string,
  flags: readonly string[],
  settings: object,
  sockets: Readonly<Record<string, string>> = {},
): Daemon {
  const socket = `${directory}/${command}`;
  const listener = bindUnix(socket, 0o666);
  const code = locateCode(Deno.execPath());
  const args = ["run", ...hardeningFlags(code, false), ...flags, code.entry(command)];
  const child: ChildProcess = spawn(code.runtime, args, {
    stdio: ["pipe", "ignore", "pipe", listener.descriptor],
    env: { ...daemonEnvironment(code) },
    cwd: "/",
  });
  const log = { text: "" };
  child.stderr!.on("data", (bytes: Uint8Array) => void (log.text += new TextDecoder().decode(bytes)));
  child.stdin!.on("error", () => {});
  const boot: Boot = {
    service: command,
    settings: settings as Boot["settings"],
    listeners: 1,
    sockets,
    transports: [],
    log: { syslogName: "postfix", hostName: "mx.test", format: "postfix", debug: false },
    maxUse: 0,
    maxIdle: 0,
    bootId: "boot",
  };
  child.stdin!.write(`${JSON.stringify(boot)}\n`);
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    socket,
    log,
    logged: async (text) => {
      for (let tries = 0; !log.text.includes(text); tries++) {
        if (tries > 200) throw new Error(`not logged: ${text}\n${log.text}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    stop: async () => {
      // End-of-file on standard input means that master is gone.
      child.stdin!.end();
      await exited;
      listener.close();
    },
  };
}
