/**
 * What master and its children say to each other: the configuration on the child's standard input, control words
 * behind it, and status lines on the child's standard output. Each is one line.
 *
 * @module
 */
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
  /** What a helper may write, and nothing for other daemons. */
  readonly helper?: AnyHelperTask;
}

/** One mailbox. */
export interface HelperTask {
  readonly kind: "mailbox";
  readonly path: string;
  readonly format: "maildir" | "mbox";
  /** Login name of the local user, or the virtual mailbox's address. */
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
}

/** All mailboxes below a directory that belong to one user (virtual_mailbox_shared_helper). */
export interface SharedHelperTask {
  readonly kind: "mailboxes";
  /** virtual_mailbox_base, without slashes at its end. */
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
}

/** What a helper may write. */
export type AnyHelperTask = HelperTask | SharedHelperTask;

/** From master, behind the configuration. */
export type Control =
  /** Take no new work, finish what there is, end. */
  | { readonly word: "retire" }
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
  | { readonly word: "helper"; readonly token: string; readonly task: AnyHelperTask };

/** One message as its line. */
export function formatLine(message: Control | Status): string {
  return JSON.stringify(message) + "\n";
}

const CONTROL_WORDS = ["retire", "wakeup", "helper"];
const STATUS_WORDS = ["ready", "alive", "retiring", "security", "helper"];

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
