/**
 * What the tests of sendmail, postdrop and pickup share: a scratch queue, and Debian's postcat to read it.
 *
 * @module
 */
import { join } from "../../lib/safe/path.ts";
import type { SubmitSettings } from "../../commands/sendmail_submit.ts";

/** A scratch queue that goes away with the test. */
export class ScratchQueue implements Disposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "postern-maildrop-" });

  constructor() {
    for (const name of ["maildrop", "corrupt", "public"]) Deno.mkdirSync(join(this.root, name));
  }

  get settings(): SubmitSettings {
    return {
      queue_directory: this.root,
      message_size_limit: 10_240_000,
      enable_long_queue_ids: false,
      line_length_limit: 2048,
      sendmail_fix_line_endings: "always",
      default_verp_delimiters: "+=",
      verp_delimiter_filter: "-=+",
    };
  }

  names(queue: string): string[] {
    return Array.from(Deno.readDirSync(join(this.root, queue)), (entry) => entry.name).sort();
  }

  path(queue: string, name: string): string {
    return join(this.root, queue, name);
  }

  /** Puts bytes into maildrop/ under a name, ready. */
  drop(name: string, bytes: Uint8Array, mode = 0o744): string {
    const path = this.path("maildrop", name);
    Deno.writeFileSync(path, bytes);
    Deno.chmodSync(path, mode);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** The lines that Debian's postcat prints of a queue file, without those that hold the path or the time. */
export function postcat(path: string): string[] {
  const done = new Deno.Command("/usr/sbin/postcat", { args: [path], stdout: "piped", stderr: "piped" })
    .outputSync();
  const errors = new TextDecoder().decode(done.stderr);
  if (!done.success || errors !== "") throw new Error(`postcat: ${errors}`);
  const lines = new TextDecoder().decode(done.stdout).split("\n").slice(0, -1);
  return lines.filter((line) => !line.startsWith("***") && !line.startsWith("message_arrival_time"));
}

/** Bytes of records: a letter and its data each. */
export function records(...list: readonly (readonly [string, string | Uint8Array])[]): Uint8Array {
  const out: number[] = [];
  for (const [type, data] of list) {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    out.push(type.charCodeAt(0));
    let rest = bytes.length;
    for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
    out.push(rest);
    for (const byte of bytes) out.push(byte);
  }
  return new Uint8Array(out);
}
