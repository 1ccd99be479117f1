/**
 * What a filter of one's own is written against: a TypeScript file that exports `may`, what it may touch, and `filter`,
 * which is called once for each message. See docs/filters.md.
 *
 * Its types are all that a filter's file takes from here, with `import type`: they are gone when it runs.
 *
 * @module
 */

/**
 * What a filter may touch. It is read from the file as it stands, without running it: plain texts, numbers and lists, no
 * expressions. What is not named is refused by the runtime.
 */
export interface FilterMay {
  /** Files and directories that it reads, absolute paths. */
  readonly reads: readonly string[];
  /** Hosts and ports that it connects to, "host:port" or "unix:/path". */
  readonly net: readonly string[];
  /** Seconds that it may take for one message; beyond that it has failed. */
  readonly time: number;
  /** Its heap, MiB. */
  readonly memory: number;
}

/** A header of the message. */
export interface FilterHeader {
  readonly name: string;
  /** What stands behind the colon, without the blank; lines of a folded one are separated by LF. */
  readonly value: string;
}

/** A message. */
export interface FilterMessage {
  readonly queueId: string;
  readonly client: { readonly name: string; readonly address: string };
  readonly helo: string;
  /** Without angle brackets; empty for reports. */
  readonly sender: string;
  readonly recipients: readonly string[];
  /** In their order, without the Received header of this host. */
  readonly headers: readonly FilterHeader[];
  /** The value of the first header of a name, in whatever case; undefined when there is none. */
  header(name: string): string | undefined;
  /** The body with CR LF, as it comes in; to be read once, or not at all. */
  body(): AsyncIterable<Uint8Array>;
}

/** A change of the message. */
export type FilterEdit =
  | { readonly edit: "addHeader"; readonly name: string; readonly value: string }
  /** In front of the header with this index, from 0; the Received header of this host is the first. */
  | {
    readonly edit: "insertHeader";
    readonly index: number;
    readonly name: string;
    readonly value: string;
  }
  /** The first header of this name, or the one with this index from 1. */
  | {
    readonly edit: "changeHeader";
    readonly name: string;
    readonly value: string;
    readonly index?: number;
  }
  | { readonly edit: "removeHeader"; readonly name: string; readonly index?: number }
  | { readonly edit: "replaceBody"; readonly body: Uint8Array | AsyncIterable<Uint8Array> }
  | { readonly edit: "changeSender"; readonly address: string }
  | { readonly edit: "addRecipient"; readonly address: string }
  | { readonly edit: "removeRecipient"; readonly address: string }
  /** The message is kept in the hold queue. */
  | { readonly edit: "hold" };

/** What becomes of the message. */
export type FilterResult =
  | { readonly verdict: "pass"; readonly edits?: readonly FilterEdit[] }
  /** Refused for good (550 5.7.1) or for now (451 4.7.1), with a text in ASCII for the client. */
  | { readonly verdict: "reject" | "defer"; readonly text: string }
  /** Accepted and thrown away. */
  | { readonly verdict: "discard" };

/** A filter. */
export type Filter = (message: FilterMessage) => FilterResult | Promise<FilterResult>;
