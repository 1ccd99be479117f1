/**
 * What the stages of an expansion have in common: the address on its way, what there is to be done, what was seen.
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Mail
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
// Server skeleton
import { type Author, type HelperRequest, type HelperTask } from "./boot.ts";
import { type LocalRecipient } from "./local_names.ts";
import { type ExpansionSettings, type LocalSources } from "./local_sources.ts";
import { type LocalUser } from "./local_user.ts";

/** Where a target stands: what may stand there depends on it. */
export type Expander = "alias" | "forward" | "include";

/** A line of a file that is being expanded. */
export interface FileLine {
  /** Number of the file in this expansion. */
  readonly file: number;
  readonly line: number;
}

/** An address on its way through aliases, .forward files and lists. */
export interface Node {
  /** Internal form. */
  readonly address: string;
  /** Its parts, once it is known to be a local one. */
  readonly recipient: LocalRecipient;
  readonly sender: string;
  /** Who gets reports on what the address expands to; another local user's mail is submitted anew. */
  readonly owner: string | undefined;
  /** The sender is that of an owner alias: the envelope is the list's own. */
  readonly owned: boolean;
  /** The alias that it comes from. */
  readonly from: string | undefined;
  readonly deliveredTo: string;
  readonly level: number;
  readonly expander: Expander;
  readonly author: Author | undefined;
  /** The user whose .forward it comes from. */
  readonly user: LocalUser | undefined;
  /** The lines that it comes from: when one of them is deferred, those behind it are not done. */
  readonly lines: readonly FileLine[];
  /** Extension that the addresses which it expands to get, with its delimiter. */
  readonly unmatched: string;
}

/** What every action has. */
interface ActionBase {
  /** Whom the log names. */
  readonly address: string;
  readonly deliveredTo: string;
  readonly sender: string;
  readonly owned: boolean;
  readonly lines: readonly FileLine[];
}

/** One thing to do for a recipient. Addresses in internal form. */
export type Action =
  & ActionBase
  & (
    | { readonly kind: "mailbox"; readonly task: HelperTask }
    | {
      readonly kind: "file";
      readonly path: string;
      readonly request: Extract<HelperRequest, { kind: "file" }>;
    }
    | {
      readonly kind: "command";
      readonly command: string;
      readonly request: HelperRequest;
      readonly recipient: LocalRecipient;
      /** Whose command it is; undefined for one of an alias. */
      readonly user: LocalUser | undefined;
    }
    /** Submit a new message to this address. */
    | { readonly kind: "forward" }
    /** Another agent delivers it. */
    | { readonly kind: "pass"; readonly transport: string }
    /** Settled without delivery: failed, or thrown away as a mail system's own address is. */
    | {
      readonly kind: "settled";
      readonly outcome: MailboxOutcome;
      /** Who owns the list of this address is told of a failure, not the sender. */
      readonly toOwner?: true;
    }
  );

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** The part of an action that its kind brings. */
export type ActionPart = DistributiveOmit<Action, keyof ActionBase>;

/** What an expansion comes to, in the order of its tree: `level` says how deep, `address` whose it is. */
export type ExpansionEvent =
  & { readonly level: number; readonly address: string }
  & (
    | { readonly kind: "alias"; readonly name: string; readonly value: string }
    /** A .forward file or a list that was read. */
    | { readonly kind: "forward" | "include"; readonly path: string }
    | { readonly kind: "action"; readonly action: Action }
  );

/** One expansion. */
export class ExpansionState {
  readonly settings: ExpansionSettings;
  readonly sources: LocalSources;
  readonly probe: boolean;
  readonly actions: Action[] = [];
  isAlias = false;
  addresses = 0;
  readonly #watch: ((event: ExpansionEvent) => void) | undefined;
  #files = 0;
  readonly #seen = new Set<string>();

  /**
   * @param probe says what would become of the mail, and delivers nothing
   * @param watch is told of each step
   */
  constructor(
    settings: ExpansionSettings,
    sources: LocalSources,
    probe: boolean,
    watch?: (event: ExpansionEvent) => void,
  ) {
    this.#watch = watch;
    this.probe = probe;
    this.settings = settings;
    this.sources = sources;
  }

  /** Adds something to do. */
  act(node: Node, part: ActionPart, address: string = node.address): void {
    const { deliveredTo, sender, owned, lines } = node;
    const action = { address, deliveredTo, sender, owned, lines, ...part };
    this.actions.push(action);
    this.note(node, { kind: "action", action });
  }

  /** Settles the address with a status: 4.x.x defers, 5.x.x bounces. */
  fail(node: Node, status: string, reason: string): void {
    this.settle(node, outcomeOf(status, reason));
  }

  settle(node: Node, outcome: MailboxOutcome): void {
    this.act(node, { kind: "settled", outcome });
  }

  /** Settles what a mistake in the configuration, or in a user's file, makes impossible. */
  misconfigured(node: Node, status: "4.3.5" | "5.3.5", warning: string): void {
    this.sources.warn(warning);
    this.fail(node, status, "mail system configuration error");
  }

  /** Tells who watches of a step. */
  note({ level, address }: Node, event: DistributiveOmit<ExpansionEvent, "level" | "address">): void {
    this.#watch?.({ level, address, ...event });
  }

  /** Number of the next file. */
  nextFile(): number {
    return this.#files++;
  }

  /** True when this was done before in this expansion; remembers as much as duplicate_filter_limit allows. */
  isDuplicate(what: string): boolean {
    const key = asciiLower(what);
    if (this.#seen.has(key)) return true;
    const limit = this.settings.duplicate_filter_limit;
    if (limit === 0 || this.#seen.size < limit) this.#seen.add(key);
    return false;
  }
}
