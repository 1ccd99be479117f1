/**
 * Who named a command, a file or a list, and with whose rights it is run, written or read. What local says of it is not
 * believed: aliases are looked up again, and of users' files master knows from the helpers that read them.
 */
import type { Logger } from "../../lib/log/log.ts";
import { lookAt, realPath } from "../../lib/safe/file.ts";
import { findUser, findUserById, type User } from "../../lib/safe/process.ts";
import type { Author } from "../../lib/server/boot.ts";
import { parseTargets, targetNames } from "../../lib/server/local_target.ts";
import { openAliasTable } from "../../lib/table/open.ts";
import { aliasSearch } from "../../lib/table/search.ts";
import { asksServer, tableFiles } from "../../lib/table/table_files.ts";
import type { Table } from "../../lib/table/table.ts";
import type { Configured } from "./master_helper.ts";

/** Names that master remembers, of all users together. */
const NAMES_LIMIT = 10_000;
/** Longest name that is remembered, UTF-16 units. */
const NAME_LIMIT = 4096;
/** How long a name may be asked for after it was read, milliseconds. */
const NAME_LIFETIME = 3_600_000;
/** How long a request waits for the word of the helper that read the file: it may be on its way. Milliseconds. */
const NAME_PATIENCE = 2000;
const NAME_PAUSE = 10;
/** An alias is searched by exactly its name. */
const WHOLE_NAME = { delimiters: "", ownerRequestSpecial: false, doubleBounceSender: "" };

/** Under whose rights something is done: a user's, or root's, which stand for default_privs. */
export type Rights = { readonly kind: "user"; readonly user: User } | { readonly kind: "root" };

/** The rights, or why there are none. */
export type Authority =
  | { readonly kind: "rights"; readonly rights: Rights }
  | { readonly kind: "refused"; readonly why: string };

/** What users' files named lately. */
export class NamedThings {
  /** By uid and name, the time of the last word of it; the oldest first. */
  readonly #known = new Map<string, number>();

  /** Takes what a helper says that a file holds; of a helper that was taken over, too, it says what its user may want. */
  record(uid: number, items: unknown): void {
    if (!Array.isArray(items)) return;
    for (const item of items.slice(0, NAMES_LIMIT)) {
      if (typeof item !== "string" || item.length > NAME_LIMIT) continue;
      const key = `${uid}:${item}`;
      this.#known.delete(key);
      this.#known.set(key, Date.now());
    }
    for (const [oldest] of this.#known) {
      if (this.#known.size <= NAMES_LIMIT) break;
      this.#known.delete(oldest);
    }
  }

  /** True when a file of the user named it; waits a moment for the word, which comes by another way than the request. */
  async has(uid: number, item: string): Promise<boolean> {
    const key = `${uid}:${item}`;
    for (const end = Date.now() + NAME_PATIENCE;;) {
      const since = this.#known.get(key);
      if (since !== undefined) return Date.now() - since < NAME_LIFETIME;
      if (Date.now() >= end) return false;
      await new Promise((resolve) => setTimeout(resolve, NAME_PAUSE));
    }
  }
}

/** Looks for authors in one configuration. */
export class Authors {
  readonly #tables: readonly { readonly table: Table; readonly file: string | undefined }[];
  readonly #named: NamedThings;

  constructor(configuration: Configured, named: NamedThings, log: Logger) {
    this.#named = named;
    // A server that answers look-ups is not asked what to run here.
    this.#tables = configuration.settings.alias_maps.filter((spec) => !asksServer(spec)).map((spec) => ({
      table: openAliasTable(spec, { log, soft: true }),
      file: tableFiles([spec])[0],
    }));
  }

  /** Whether the author named this, and with whose rights. */
  async authorize(author: Author, name: string): Promise<Authority> {
    if (author.kind === "alias") return await this.#alias(author.name, name);
    const authority = author.kind === "forward" ? forwardRights(author.user) : await this.list(author);
    if (authority.kind === "refused") return authority;
    const uid = authority.rights.kind === "root" ? 0 : authority.rights.user.uid;
    return await this.#named.has(uid, name) ? authority : refused("no file of its author names it");
  }

  /** The rights with which a list is read, and that what it names gets: those of its owner where root names it. */
  async list({ path, author }: Extract<Author, { kind: "list" }>): Promise<Authority> {
    const authority = await this.authorize(author, `:include:${path}`);
    if (authority.kind === "refused" || authority.rights.kind === "user") return authority;
    // Whoever reads it will see that it is missing.
    return realPath(path) === undefined ? authority : ownerRights(path);
  }

  async #alias(alias: string, name: string): Promise<Authority> {
    for (const { table, file } of this.#tables) {
      const found = await aliasSearch([table], alias, WHOLE_NAME);
      if (found.kind === "retry") return refused(found.why);
      if (found.kind === "missing") continue;
      if (!targetNames(parseTargets(found.value) ?? []).includes(name)) break;
      return file === undefined ? { kind: "rights", rights: { kind: "root" } } : ownerRights(file);
    }
    return refused(`alias "${alias}" does not name it in a file of alias_maps`);
  }
}

function forwardRights(name: string): Authority {
  const user = findUser(name);
  if (user === undefined || user.uid === 0) return refused(`user "${name}" has no .forward`);
  return { kind: "rights", rights: { kind: "user", user } };
}

/** The rights of a file's owner. */
function ownerRights(path: string): Authority {
  const target = realPath(path);
  const stat = target === undefined ? undefined : lookAt(target);
  if (stat === undefined) return refused(`"${path}" is missing`);
  return rightsOf(stat.uid);
}

function rightsOf(uid: number): Authority {
  if (uid === 0) return { kind: "rights", rights: { kind: "root" } };
  const user = findUserById(uid);
  if (user === undefined) return refused(`there is no user with uid ${uid}`);
  return { kind: "rights", rights: { kind: "user", user } };
}

/** The user whose rights they are; for root's the one that default_privs names. */
export function userOf(rights: Rights, configuration: Configured): User | string {
  if (rights.kind === "user") return rights.user;
  const name = configuration.settings.default_privs;
  const user = findUser(name);
  if (user === undefined) return `there is no user "${name}" (default_privs)`;
  return user.uid === 0 || user.gid === 0 ? `user "${name}" is root (default_privs)` : user;
}

function refused(why: string): Authority {
  return { kind: "refused", why };
}
