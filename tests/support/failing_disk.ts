/** A file system on which one file cannot be opened or read for now. Not a test itself. @module */
import { type Disk, type DiskFile, replaceDisk } from "../../lib/safe/file.ts";

/** Fails with EMFILE to open, or with EIO to read, files whose path ends like this, until it is disposed. */
export class FailingDisk implements Disposable {
  readonly #before: Disk;

  constructor(failing: "open" | "read", end: string) {
    const before = replaceDisk(Deno);
    this.#before = before;
    replaceDisk({
      ...(before as typeof Deno),
      openSync: (path: string | URL, options?: Deno.OpenOptions): DiskFile => {
        const file = before.openSync(path, options);
        if (!String(path).endsWith(end)) return file;
        if (failing === "open") {
          file.close();
          throw Object.assign(new Error("Too many open files"), { code: "EMFILE" });
        }
        file.readSync = () => {
          throw Object.assign(new Error("Input/output error"), { code: "EIO" });
        };
        return file;
      },
    });
  }

  [Symbol.dispose](): void {
    replaceDisk(this.#before);
  }
}
