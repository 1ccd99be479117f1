/**
 * What Postern uses of `@std/fs`, with the real names, signatures and behaviour. Unlink it in deno.json and the real
 * package serves unchanged.
 *
 * @module
 */

/** What `exists` looks for besides being there. */
export interface ExistsOptions {
  /** It can be read by this user too. */
  isReadable?: boolean;
  /** It is a directory, or a link to one. */
  isDirectory?: boolean;
  /** It is a regular file, or a link to one. */
  isFile?: boolean;
}

/** Makes the directory and those above it unless it is there. */
export async function ensureDir(dir: string | URL): Promise<void> {
  try {
    return demandDirectory(await Deno.stat(dir));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  try {
    await Deno.mkdir(dir, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    demandDirectory(await Deno.stat(dir));
  }
}

/** Makes the directory and those above it unless it is there. */
export function ensureDirSync(dir: string | URL): void {
  try {
    return demandDirectory(Deno.statSync(dir));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  try {
    Deno.mkdirSync(dir, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    demandDirectory(Deno.statSync(dir));
  }
}

function demandDirectory(info: Deno.FileInfo): void {
  if (info.isDirectory) return;
  const kind = info.isFile ? "file" : info.isSymlink ? "symlink" : undefined;
  throw new Error(`Failed to ensure directory exists: expected 'dir', got '${kind}'`);
}

/** True when something is at the path, links followed, and is what the options ask for. */
export async function exists(path: string | URL, options?: ExistsOptions): Promise<boolean> {
  try {
    return isAsAsked(await Deno.stat(path), options);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.PermissionDenied) {
      const permission = await Deno.permissions.query({ name: "read", path });
      // The file system refused, not Deno: it is there, and cannot be read.
      if (permission.state === "granted") return !options?.isReadable;
    }
    throw error;
  }
}

/** True when something is at the path, links followed, and is what the options ask for. */
export function existsSync(path: string | URL, options?: ExistsOptions): boolean {
  try {
    return isAsAsked(Deno.statSync(path), options);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.PermissionDenied) {
      const permission = Deno.permissions.querySync({ name: "read", path });
      if (permission.state === "granted") return !options?.isReadable;
    }
    throw error;
  }
}

function isAsAsked(info: Deno.FileInfo, options: ExistsOptions | undefined): boolean {
  if (options === undefined) return true;
  if (options.isDirectory && options.isFile) {
    throw new TypeError(
      "ExistsOptions.options.isDirectory and ExistsOptions.options.isFile must not be true together",
    );
  }
  if ((options.isDirectory && !info.isDirectory) || (options.isFile && !info.isFile)) return false;
  return options.isReadable ? isReadable(info) : true;
}

function isReadable(info: Deno.FileInfo): boolean {
  if (info.mode === null) return true;
  if (Deno.uid() === info.uid) return (info.mode & 0o400) === 0o400;
  if (Deno.gid() === info.gid) return (info.mode & 0o040) === 0o040;
  return (info.mode & 0o004) === 0o004;
}

/** Removes all that is in the directory, or makes it. */
export async function emptyDir(dir: string | URL): Promise<void> {
  try {
    const items = await Array.fromAsync(Deno.readDir(dir));
    await Promise.all(items.map((item) => Deno.remove(below(dir, item.name), { recursive: true })));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(dir, { recursive: true });
  }
}

/** Removes all that is in the directory, or makes it. */
export function emptyDirSync(dir: string | URL): void {
  try {
    for (const item of [...Deno.readDirSync(dir)]) {
      Deno.removeSync(below(dir, item.name), { recursive: true });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    Deno.mkdirSync(dir, { recursive: true });
  }
}

function below(dir: string | URL, name: string): string {
  const path = typeof dir === "string" ? dir : decodeURIComponent(dir.pathname);
  return path.endsWith("/") ? path + name : `${path}/${name}`;
}
