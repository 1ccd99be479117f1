/**
 * What local, virtual and pipe ask for, made into tasks of helpers or refused. The least trusted of them is local: it
 * reads mail. So it may have what the configuration names, what an alias names, and what a user's file names for that
 * user; never a command, a path or a user of its own choice.
 */
import { type Configuration, type ServiceEntry, settingsFor } from "../../lib/config/configuration.ts";
import { PARAMETER_NAMES } from "../../lib/config/parameters.ts";
import { transportParameter } from "../../lib/config/transport.ts";
import type { Logger } from "../../lib/log/log.ts";
import { splitAddress } from "../../lib/mail/address.ts";
import { realPath } from "../../lib/safe/file.ts";
import { findUser, ownGid, ownUid, type User } from "../../lib/safe/process.ts";
import type { AnyHelperTask, Author, HelperRequest } from "../../lib/server/boot.ts";
import { hasSeparateUsers } from "../../lib/server/identity.ts";
import { forwardPaths, isPlainPath, localRecipient } from "../../lib/server/local_names.ts";
import { commandLine, exportedEnvironment, pipeIdentity } from "../../lib/server/local_command.ts";
import { openTable } from "../../lib/table/open.ts";
import { addressSearch } from "../../lib/table/search.ts";
import { MISSING, type Table } from "../../lib/table/table.ts";
import { asksServer } from "../../lib/table/table_files.ts";
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { withoutSlashes } from "../../lib/safe/path.ts";
import { type Authority, Authors, type NamedThings, userOf } from "./master_author.ts";
import { type Checked, checkHelperTask, type Configured } from "./master_helper.ts";

/** Longest command, address or name in a request, UTF-16 units. */
const TEXT_LIMIT = 4096;
/** Deepest nesting of lists (Postfix). */
const NESTING_LIMIT = 100;

/** Checks the requests of one service under one configuration. */
export class HelperRequests {
  readonly #configuration: Configured;
  readonly #entry: ServiceEntry;
  readonly #log: Logger;
  readonly #named: NamedThings;
  readonly #separate: boolean;
  #opened: Authors | undefined;
  #commandMaps: readonly Table[] | undefined;

  constructor(configuration: Configuration, entry: ServiceEntry, named: NamedThings, log: Logger) {
    this.#configuration = { settings: settingsFor(configuration, entry, PARAMETER_NAMES) };
    this.#entry = entry;
    this.#named = named;
    this.#log = log;
    this.#separate = hasSeparateUsers(configuration);
  }

  /**
   * The task in a request as it may be carried out, or why not.
   *
   * @param request as it came, of any form
   */
  async check(request: unknown): Promise<Checked> {
    const { command } = this.#entry;
    const { kind } = (request ?? {}) as { readonly kind?: unknown };
    if (command === "pipe") {
      return kind === "pipe" ? this.#pipe() : refused("pipe runs its own program only");
    }
    if (command !== "local" || kind === "mailbox" || kind === "mailboxes") {
      return this.#withForward(checkHelperTask(command, request, this.#configuration));
    }
    const wanted = toRequest(request);
    switch (wanted?.kind) {
      case "forward":
        return this.#forward(wanted.recipient);
      case "include":
        return await this.#include(wanted.path, wanted.author);
      case "file":
        return await this.#file(wanted.path, wanted.format, wanted.author);
      case "command":
        return await this.#command(wanted.command, wanted.author);
      case "mailboxCommand":
        return await this.#mailboxCommand(wanted.user);
      default:
        return refused("request is malformed");
    }
  }

  get #authors(): Authors {
    return this.#opened ??= new Authors(this.#configuration, this.#named, this.#log);
  }

  /** A local user's mailbox helper reads the user's .forward as well: one process for nearly all mail. */
  #withForward(checked: Checked): Checked {
    if (this.#entry.command !== "local" || checked.kind !== "allowed" || checked.task.kind !== "mailbox") {
      return checked;
    }
    const user = findUser(checked.task.user);
    const paths = user === undefined ? [] : this.#forwardPaths(user, user.name);
    return { ...checked, task: { ...checked.task, files: paths } };
  }

  #forwardPaths(user: User, address: string): string[] {
    const { settings } = this.#configuration;
    const localpart = asciiLower(splitAddress(address).localpart);
    const paths = forwardPaths(settings, user, localRecipient(address, localpart, settings));
    return Array.isArray(paths) ? paths.map(({ path }) => path) : [];
  }

  #forward(address: string): Checked {
    const { settings } = this.#configuration;
    const localpart = asciiLower(splitAddress(address).localpart);
    const user = findUser(localRecipient(address, localpart, settings).user);
    if (user === undefined) return refused(`there is no user of "${address}"`);
    if (user.uid === 0) return refused(`user "${user.name}" is root`);
    const home = settings.require_home_directory && isPlainPath(user.home) ? user.home : "";
    const files = this.#forwardPaths(user, address);
    const identity = this.#identity(user);
    return allowed({ kind: "files", files, owner: identity.uid, home, author: user.uid, ...identity });
  }

  async #include(path: string, author: Author): Promise<Checked> {
    if (!isPlainPath(path)) return refused(`path "${path}" is not absolute and plain`);
    const authority = await this.#authors.list({ kind: "list", path, author });
    if (authority.kind === "refused") return refused(authority.why);
    const { rights } = authority;
    const reader = userOf(rights, this.#configuration);
    if (typeof reader === "string") return refused(reader);
    // The list may be a link: the reader goes where it leads, with its own rights.
    const target = realPath(path) ?? path;
    if (target.includes(",")) return refused(`no flag of the runtime can name "${target}"`);
    const nobody = { files: [target], owner: -1, home: "" };
    return allowed({
      kind: "files",
      ...nobody,
      author: rights.kind === "user" ? rights.user.uid : 0,
      ...this.#identity(reader),
    });
  }

  async #file(name: string, format: "maildir" | "mbox", author: Author): Promise<Checked> {
    const user = this.#user(await this.#authors.authorize(author, name));
    if (typeof user === "string") return refused(user);
    const written = name.startsWith("~/") ? `${withoutSlashes(user.home)}/${name.slice(2)}` : name;
    if ((format === "maildir") !== written.endsWith("/")) return refused("request is malformed");
    const path = withoutSlashes(written);
    if (!isPlainPath(path)) return refused(`path "${path}" is not absolute and plain`);
    return allowed({ kind: "mailbox", path, format, user: "", ...this.#identity(user) });
  }

  async #command(command: string, author: Author): Promise<Checked> {
    const authority = await this.#authors.authorize(author, `|${command}`);
    const user = this.#user(authority);
    if (typeof user === "string") return refused(user);
    // With the rights of default_privs there is no user whose home it would be.
    const isUsers = authority.kind === "rights" && authority.rights.kind === "user";
    return this.#program(command, user, isUsers ? homeOf(user) : {});
  }

  async #mailboxCommand(name: string): Promise<Checked> {
    const { settings } = this.#configuration;
    const user = findUser(name);
    if (user === undefined || user.uid === 0) return refused(`user "${name}" has no commands`);
    const maps = settings.mailbox_command_maps.filter((spec) => !asksServer(spec));
    this.#commandMaps ??= maps.map((spec) => openTable(spec, { log: this.#log, soft: true, paranoid: true }));
    const found = await addressSearch(this.#commandMaps, name, NAME_ONLY);
    if (found.kind === "retry") return refused(found.why);
    const command = found.kind === "found" ? found.value : settings.mailbox_command;
    if (command === "") return refused(`there is no command for user "${name}"`);
    return this.#program(command, user, homeOf(user));
  }

  #program(command: string, user: User, home: Readonly<Record<string, string>>): Checked {
    const { settings } = this.#configuration;
    const { program, args } = commandLine(command, settings.local_command_shell);
    if (program.includes(",")) return refused(`no flag of the runtime can name program "${program}"`);
    return allowed({
      kind: "program",
      program,
      args,
      environment: { ...exportedEnvironment(settings.export_environment), ...home },
      timeLimit: settings.command_time_limit,
      ...this.#identity(user),
    });
  }

  #pipe(): Checked {
    const { pipe, name } = this.#entry;
    const { settings } = this.#configuration;
    if (pipe === undefined) return refused("the service has no program");
    const identity = this.#separate
      ? pipeIdentity(this.#configuration, pipe)
      : { uid: ownUid(), gid: ownGid() };
    if (typeof identity === "string") return refused(identity);
    return allowed({
      kind: "program",
      program: pipe.argv[0]!,
      args: [],
      environment: exportedEnvironment(settings.export_environment),
      timeLimit: transportParameter(settings, name, "time_limit"),
      ...identity,
    });
  }

  /** The user of an authority, or why there is none. */
  #user(authority: Authority): User | string {
    return authority.kind === "refused" ? authority.why : userOf(authority.rights, this.#configuration);
  }

  /** Without separate users there is one identity, ours. */
  #identity({ uid, gid }: User): { readonly uid: number; readonly gid: number } {
    return this.#separate ? { uid, gid } : { uid: ownUid(), gid: ownGid() };
  }
}

/** Tables by user are searched by the bare name. */
const NAME_ONLY = {
  extension: { delimiters: "", ownerRequestSpecial: false, doubleBounceSender: "" },
  isLocal: () => MISSING,
};

function homeOf({ home, shell }: User): Readonly<Record<string, string>> {
  return { HOME: home, ...(shell === "" ? {} : { SHELL: shell }) };
}

function allowed(task: AnyHelperTask): Checked {
  return { kind: "allowed", task };
}

function refused(why: string): Checked {
  return { kind: "refused", why: `Cannot start helper: ${why}` };
}

/** A request of local's with every field of the right form, or undefined. */
function toRequest(
  request: unknown,
): Exclude<HelperRequest, { kind: "mailbox" | "mailboxes" | "pipe" }> | undefined {
  const { kind, recipient, path, format, author, command, user } = (request ?? {}) as Record<
    string,
    unknown
  >;
  switch (kind) {
    case "forward":
      return isText(recipient) ? { kind, recipient } : undefined;
    case "mailboxCommand":
      return isText(user) ? { kind, user } : undefined;
  }
  const by = toAuthor(author);
  if (by === undefined) return undefined;
  switch (kind) {
    case "include":
      return isText(path) ? { kind, path, author: by } : undefined;
    case "file":
      return isText(path) && (format === "maildir" || format === "mbox")
        ? { kind, path, format, author: by }
        : undefined;
    case "command":
      return isText(command) ? { kind, command, author: by } : undefined;
    default:
      return undefined;
  }
}

function toAuthor(author: unknown, depth = 0): Author | undefined {
  if (typeof author !== "object" || author === null || depth > NESTING_LIMIT) return undefined;
  const { kind, name, user, path, author: parent } = author as Record<string, unknown>;
  if (kind === "alias" && isText(name)) return { kind, name };
  if (kind === "forward" && isText(user)) return { kind, user };
  if (kind !== "list" || !isText(path)) return undefined;
  const by = toAuthor(parent, depth + 1);
  return by === undefined ? undefined : { kind, path, author: by };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_LIMIT && !value.includes("\0");
}
