/**
 * Flags that every daemon's runtime gets, whatever the daemon may do (PLATFORM: each closes a way out that was
 * seen to be open without it).
 *
 * @module
 */

import { dirname } from "../safe/path.ts";
import { environmentVariable } from "../safe/process.ts";

/**
 * Heap of a daemon where its configuration says nothing (daemon_heap_limit), MiB. ArrayBuffers are outside it; the
 * systemd unit bounds the whole.
 */
export const HEAP_LIMIT = 512;

/**
 * What a daemon under load holds beyond what it uses. V8 lets short-lived objects gather in up to three times 16 MiB
 * before it looks for those that are dead, and lets the rest grow by more than half between two collections: a process
 * of 50 MiB went beyond 130. MiB of one half, and percent.
 */
const YOUNG_LIMIT = 2;
const HEAP_GROWTH = 20;

/**
 * V8 flags: no code from strings, regular expressions fall back to linear time, a heap that is bounded and small;
 * sooner fast.
 */
const v8Flags = (heapLimit: number): string[] => [
  "--disallow-code-generation-from-strings",
  // Daemons run the same code for days: what it needs to be optimised is gathered from the first call on.
  "--no-lazy-feedback-allocation",
  "--enable-experimental-regexp-engine-on-excessive-backtracks",
  `--max-old-space-size=${heapLimit}`,
  `--max-semi-space-size=${YOUNG_LIMIT}`,
  `--heap-growing-percent=${HEAP_GROWTH}`,
];

/**
 * A helper is one of a hundred, each at work for a moment now and then: the threads on which the collector and the
 * compiler work beside the program cost it a quarter of a delivery in wake-ups, and there is nothing to do beside it.
 */
const HELPER_FLAGS = ["--single-threaded"];

/** How a daemon's code is found. */
export interface CodeLocation {
  /** The runtime, absolute path. */
  readonly runtime: string;
  /** Entry point of a command's program, absolute path. */
  entry(command: string): string;
  /** The one configuration file that maps package names, absolute path; undefined for bundled code, which needs none. */
  readonly packages: string | undefined;
  /** Module cache that the daemons read, absolute path. */
  readonly cache: string;
}

/**
 * The common flags: nothing asked of a terminal, nothing loaded from elsewhere, nothing found by discovery.
 *
 * @param npm the program uses npm packages
 * @param heapLimit most memory of the heap, MiB
 * @param helper the program is a helper: many of them run
 */
export function hardeningFlags(
  code: CodeLocation,
  npm: boolean,
  heapLimit: number = HEAP_LIMIT,
  helper?: "helper",
): string[] {
  return [
    "--quiet",
    "--no-prompt",
    // Only the named file counts: a deno.json planted above the code is not looked for.
    code.packages === undefined ? "--no-config" : `--config=${code.packages}`,
    // The packages are those whose names and contents the lock file has, and no others.
    ...(code.packages === undefined
      ? ["--no-lock"]
      : [`--lock=${dirname(code.packages)}/deno.lock`, "--frozen"]),
    "--no-remote",
    "--cached-only",
    "--allow-import=deny.invalid",
    ...(npm && code.packages !== undefined ? [] : ["--no-npm"]),
    `--v8-flags=${[...v8Flags(heapLimit), ...helper === undefined ? [] : HELPER_FLAGS].join(",")}`,
  ];
}

/**
 * The flags of master and of the programs that a person runs: every permission, and the rest as the daemons have it.
 * The runtime does not take `--allow-import` beside `-A`; `--no-remote` and `--cached-only` refuse the same.
 */
export function trustedFlags(code: CodeLocation, npm: boolean): string[] {
  return ["-A", ...hardeningFlags(code, npm).filter((flag) => !flag.startsWith("--allow-import="))];
}

/** The whole environment of a daemon. */
export function daemonEnvironment(code: CodeLocation): { readonly [name: string]: string } {
  return { DENO_DIR: code.cache, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", TZ: ":/etc/localtime" };
}

/** Variable of master's own environment: the directory of the records that `auditEnvironment` asks for. */
const AUDIT_VARIABLE = "POSTERN_AUDIT_DIRECTORY";

/**
 * What is added to a daemon's environment where master's own names a directory for it: the runtime then records each
 * use of a permission there, one file for each process. No installation sets it; the file is written by the runtime
 * and takes no permission of the daemon.
 */
export function auditEnvironment(command: string): { readonly [name: string]: string } {
  const directory = environmentVariable(AUDIT_VARIABLE) ?? "";
  if (directory === "") return {};
  return { DENO_AUDIT_PERMISSIONS: `${directory}/${command}.${crypto.randomUUID()}.jsonl` };
}
