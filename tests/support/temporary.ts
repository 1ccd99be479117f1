/** Temporary directories that go with their test. Not a test itself. @module */

/** A directory of a test; `using` removes it with all that is in it. */
export class TemporaryDirectory implements Disposable {
  readonly path: string;

  constructor() {
    this.path = Deno.makeTempDirSync({ prefix: "postern-" });
  }

  /** The path of something in it. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Writes a file and returns its path. */
  write(name: string, content: string | Uint8Array, mode = 0o600): string {
    const path = this.at(name);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(path, bytes, { mode });
    Deno.chmodSync(path, mode);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A file system of a few KiB in memory, or undefined where this process may not mount one. */
export class TinyFileSystem implements Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Mounts one; only root in a mount namespace of its own, or a true root, can. */
  static mount(kibibytes: number): TinyFileSystem | undefined {
    if (Deno.uid() !== 0) return undefined;
    const path = Deno.makeTempDirSync({ prefix: "postern-tiny-" });
    const args = ["-t", "tmpfs", "-o", `size=${kibibytes}k,mode=700`, "tmpfs", path];
    if (new Deno.Command("mount", { args, stderr: "null" }).outputSync().success) {
      return new TinyFileSystem(path);
    }
    Deno.removeSync(path);
    return undefined;
  }

  /** True where `mount` works. */
  static available(): boolean {
    const made = TinyFileSystem.mount(64);
    made?.[Symbol.dispose]();
    return made !== undefined;
  }

  [Symbol.dispose](): void {
    new Deno.Command("umount", { args: [this.path] }).outputSync();
    Deno.removeSync(this.path);
  }
}
