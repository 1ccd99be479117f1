/**
 * What master and its children say to each other: the configuration on the child's standard input, control words
 * behind it, and status lines on the child's standard output. Each is one line.
 *
 * @module
 */
import type { PipeAttributes } from "../config/pipe_attributes.ts";
import type { ClientTlsMaterial } from "../tls/client_material.ts";
import type { ServerTlsMaterial } from "../tls/server_material.ts";

/** Descriptor of the first listening socket, or of a helper's one connection; more listeners follow it. */
export const LISTENER = 3;
/** Seconds between two signs of life. */
export const HEARTBEAT_INTERVAL = 5;

/** The first line of a child's standard input: all that it knows. */
export interface Boot {
  /** Name in master.toml, as "relay" for a command "smtp". */
  readonly service: string;
  readonly settings: { readonly [parameter: string]: unknown };
  /** Settings that are others while clients come faster than they can be served (parameter stress). */
  readonly stressed?: { readonly [parameter: string]: unknown };
  /** Its clients are handed over by postscreen (a service of type pass). */
  readonly passed?: true;
  /** Absolute socket paths by service name: those that it may connect to and no others. */
  readonly sockets: { readonly [service: string]: string };
  /** Listening sockets, from descriptor 3 on; behind them the one on which mailbox helpers arrive, if there is one. */
  readonly listeners: number;
  /** Every service that delivers, for `$transports`. */
  readonly transports: readonly string[];
  /** Where the parameters that hold rules are set, "FILE:LINE"; of those that are not set nothing. */
  readonly places?: { readonly [parameter: string]: string };
  readonly log: {
    readonly syslogName: string;
    readonly hostName: string;
    readonly format: "postfix" | "json";
    readonly debug: boolean;
  };
  /** Exchanges or sessions after which the process makes room for a fresh one; 0: never. */
  readonly maxUse: number;
  /** Seconds without work after which it ends; 0: never. */
  readonly maxIdle: number;
  /** Boot id of the system. */
  readonly bootId: string;
  /** What cleanup proves itself to qmgr with; only these two have it. */
  readonly queueKey?: string;
  /** Authorities, key and certificates of a daemon that opens TLS connections. */
  readonly clientTls?: ClientTlsMaterial;
  /** Keys and certificates, for a daemon that terminates TLS where TLS is on. */
  readonly tls?: ServerTlsMaterial;
  /** What a pipe agent's program is and how it wants its mail. */
  readonly pipe?: PipeAttributes;
  /** What a helper may do, and nothing for other daemons. */
  readonly helper?: AnyHelperTask;
}

/** One mailbox, or a file that an alias or a .forward names. */
export interface HelperTask {
  readonly kind: "mailbox";
  readonly path: string;
  readonly format: "maildir" | "mbox";
  /** Login name of the local user, or the virtual mailbox's address; empty for a file that somebody names. */
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
  /** Files of the user that the helper may read as well, in the order in which they count: his .forward. */
  readonly files?: readonly string[];
}

/** All mailboxes below a directory that belong to one user (virtual_mailbox_shared_helper). */
export interface SharedHelperTask {
  readonly kind: "mailboxes";
  /** virtual_mailbox_base, without slashes at its end. */
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
}

/** Files to read, and nothing else: an :include: list, or .forward files of addresses with an extension. */
export interface FilesTask {
  readonly kind: "files";
  readonly files: readonly string[];
  /** Who may own them beside root; -1: anybody. */
  readonly owner: number;
  /** The home directory that must be there (require_home_directory); empty: it does not matter. */
  readonly home: string;
  /** Whose words the content is: what it names may be asked for under this uid; 0: default_privs. */
  readonly author: number;
  readonly uid: number;
  readonly gid: number;
}

/** One program to run, with the arguments that come first. */
export interface ProgramTask {
  readonly kind: "program";
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: { readonly [name: string]: string };
  /** Seconds. */
  readonly timeLimit: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a helper may do. */
export type AnyHelperTask = HelperTask | SharedHelperTask | FilesTask | ProgramTask;

/**
 * Where the wish for a file, a list or a command comes from. Master looks for itself: it searches alias_maps and
 * mailbox_command_maps, and knows what the helpers that read users' files found in them.
 */
export type Author =
  | { readonly kind: "alias"; readonly name: string }
  /** The .forward of a user. */
  | { readonly kind: "forward"; readonly user: string }
  /** An :include: list, and who named that. */
  | { readonly kind: "list"; readonly path: string; readonly author: Author };

/** What local, virtual and pipe may ask for. Of a user or an identity nothing is said that master does not know. */
export type HelperRequest =
  | HelperTask
  | SharedHelperTask
  /** The .forward files of an address, its extension included. */
  | { readonly kind: "forward"; readonly recipient: string }
  | { readonly kind: "include"; readonly path: string; readonly author: Author }
  | {
    readonly kind: "file";
    readonly path: string;
    readonly format: "maildir" | "mbox";
    readonly author: Author;
  }
  | { readonly kind: "command"; readonly command: string; readonly author: Author }
  /** mailbox_command or what mailbox_command_maps has for a user. */
  | { readonly kind: "mailboxCommand"; readonly user: string }
  /** What the pipe service that asks is there for. */
  | { readonly kind: "pipe" };

/** From master, behind the configuration. */
export type Control =
  /** Take no new work, finish what there is, end. */
  | { readonly word: "retire" }
  /** All processes that the service may have are full. */
  | { readonly word: "stress" }
  /** The wake-up timer of the service. */
  | { readonly word: "wakeup" }
  /** Answer to a request for a helper: empty `why` when it has been started. */
  | { readonly word: "helper"; readonly token: string; readonly why: string };

/** From a child. */
export type Status =
  | { readonly word: "ready" }
  | { readonly word: "alive"; readonly busy: number; readonly used: number }
  /** It takes no new work: start another when there is some. */
  | { readonly word: "retiring" }
  /** The sandbox refused something: master counts and reports it. */
  | { readonly word: "security"; readonly text: string }
  | { readonly word: "helper"; readonly token: string; readonly task: HelperRequest }
  /** Commands, files and lists that a file names, before its content is given to anybody. */
  | { readonly word: "names"; readonly items: readonly string[] }
  /** The processes of a program that took too long are to be killed: the group that it leads. */
  | { readonly word: "killGroup"; readonly leader: number };

/** One message as its line. */
export function formatLine(message: Control | Status): string {
  return JSON.stringify(message) + "\n";
}

const CONTROL_WORDS = ["retire", "stress", "wakeup", "helper"];
const STATUS_WORDS = ["ready", "alive", "retiring", "security", "helper", "names", "killGroup"];

/** Reads a control line; undefined when it is none. */
export function parseControl(line: string): Control | undefined {
  return parse(line, CONTROL_WORDS) as Control | undefined;
}

/** Reads a status line; undefined when it is none. A child is not trusted: the fields are checked where they are used. */
export function parseStatus(line: string): Status | undefined {
  return parse(line, STATUS_WORDS) as Status | undefined;
}

function parse(line: string, words: readonly string[]): unknown {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null && words.includes(value.word) ? value : undefined;
  } catch {
    return undefined;
  }
}
