/**
 * One master for a queue: an exclusive lock on pid/master.pid, which holds the process number for the commands.
 */
import { ensureDirectory, safeCreate, type SafeFile, safeOpen } from "../../lib/safe/file.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";

/** Holds the lock until it is released or the process ends. */
export class MasterLock {
  readonly #file: SafeFile;

  private constructor(file: SafeFile) {
    this.#file = file;
  }

  /** Takes the lock; throws when another master has it. */
  static take(queueDirectory: string, pid: number): MasterLock {
    ensureDirectory(`${queueDirectory}/pid`);
    const path = `${queueDirectory}/pid/master.pid`;
    const file = openOrCreate(path);
    if (!file.tryLock("exclusive")) {
      const holder = new TextDecoder().decode(file.readAll(64));
      file.close();
      throw new Error(
        `Cannot start: the mail system is already running: PID: ${holder.split("\n").join("")}`,
      );
    }
    file.truncate(0);
    file.writeAt(0, encodeText(`${pid}\n`));
    return new MasterLock(file);
  }

  /** Empties the file and gives the lock up. */
  release(): void {
    this.#file.truncate(0);
    this.#file.close();
  }
}

function openOrCreate(path: string): SafeFile {
  const created = safeCreate(path, 0o644);
  if (created.kind === "created") return created.file;
  const opened = safeOpen(path, { access: "write" });
  if (opened.kind === "opened") return opened.file;
  throw new Error(`Cannot open "${path}": ${opened.kind === "refused" ? opened.why : "it vanished"}`);
}
