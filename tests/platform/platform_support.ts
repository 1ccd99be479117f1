/** Runs small programs under exact permission flags. Not a test itself. @module */
import { type ChildProcess, spawn } from "node:child_process";
import { hardeningFlags } from "../../lib/server/hardening.ts";
import { TemporaryDirectory } from "../support/temporary.ts";

/** What a program printed and how it ended. */
export interface Ran {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** The flags that every daemon gets, for code without packages. */
export const HARDENING: readonly string[] = hardeningFlags({
  runtime: Deno.execPath(),
  packages: undefined,
  cache: "",
  entry: (command) => command,
}, false);

/** Runs a program text with the hardening flags and these permissions; `descriptors` become 3, 4, ... in it. */
export function runProgram(
  program: string,
  permissions: readonly string[] = [],
  options: { readonly flags?: readonly string[]; readonly descriptors?: readonly number[] } = {},
): Promise<Ran> {
  const directory = new TemporaryDirectory();
  const entry = directory.write("program.ts", `${TELL}\n${program}`);
  const cache = `${directory.path}/cache`;
  Deno.mkdirSync(cache);
  const child: ChildProcess = spawn(
    Deno.execPath(),
    ["run", ...(options.flags ?? HARDENING), ...permissions, entry],
    {
      stdio: ["ignore", "pipe", "pipe", ...(options.descriptors ?? [])],
      env: { DENO_DIR: cache, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      cwd: "/",
    },
  );
  const output = collect(child.stdout!);
  const errors = collect(child.stderr!);
  return new Promise((resolve) => {
    child.once("close", (status: number | null) => {
      directory[Symbol.dispose]();
      resolve({ status: status ?? -1, output: output().trim(), errors: errors().trim() });
    });
  });
}

/** `tell(name, work)` prints what came of a piece of work: its value, or the name of the error. */
const TELL = `async function tell(work: () => unknown): Promise<void> {
  try { console.log(String(await work())); }
  catch (error) { console.log((error as Error).name === "Error" ? (error as Error).message : (error as Error).name); }
}`;

function collect(stream: { on(event: "data", take: (bytes: Uint8Array) => void): unknown }): () => string {
  let text = "";
  const decoder = new TextDecoder();
  stream.on("data", (bytes) => text += decoder.decode(bytes, { stream: true }));
  return () => text;
}
