/**
 * What `explain` finds out, as `--json` prints it. Addresses are in internal form; places are "FILE:LINE", "default" for a
 * parameter that is not set, or empty where there is none.
 *
 * @module
 */
// Filters
import type { FilterMay } from "../lib/filter/filter.ts";
// Access
import type { Refusal, Step } from "../lib/access/policy.ts";
// Server skeleton
import type { Ground, LaterRefusal } from "../lib/server/decisions.ts";

/** Who sends, as the command line has it. */
export interface AskedMail {
  readonly sender: string;
  readonly recipient: string;
  readonly client: string;
  /** Its verified name, and the name of its address, verified or not. */
  readonly clientName: string;
  readonly reverseName: string;
  /** Its names cannot be looked up now. */
  readonly nameTrouble: boolean;
  readonly helo: string;
  /** Login name; empty without one. */
  readonly sasl: string;
}

/** What smtpd says to RCPT. */
export interface SmtpFacts {
  /** Name of the service in master.toml, and where it stands. */
  readonly service: string;
  readonly place: string;
  /** The client is in mynetworks, and where that is set. */
  readonly trusted: boolean;
  readonly mynetworks: string;
  readonly steps: readonly Step[];
  readonly reply: string;
  readonly accepted: boolean;
  /** It is accepted although the mail does not end here. */
  readonly relayed: boolean;
  readonly refusal?: Refusal;
  /** What is asked at DATA, and at the end of the message of which nothing is known here. */
  readonly dataSteps: readonly Step[];
  readonly endSteps: readonly Step[];
  /** What refuses the message then. */
  readonly later?: LaterRefusal;
}

/** A mail filter that has a say: a milter, one of the administrator's own, or the one that smtpd_proxy_filter names. */
export interface MailFilterFacts {
  /** As the configuration names it. */
  readonly name: string;
  /** The parameter that names it, and where that is set. */
  readonly rule: string;
  readonly place: string;
  /** What is done with the message when the filter fails: a milter's default action. */
  readonly whenItFails?: string;
  /** What a filter of the administrator's own may touch, as its file says. */
  readonly may?: FilterMay;
}

/** The content filter that mail goes to in the place of where it leads. */
export interface FilterFacts {
  /** "transport:nexthop"; the next hop may be missing. */
  readonly target: string;
  /** "content_filter", or the restriction that says FILTER. */
  readonly rule: string;
  readonly place: string;
}

/** One change of an address. */
export interface AddressStep {
  /** The parameter behind it, or "source route", "final dot", "routing": rules that no parameter decides. */
  readonly rule: string;
  readonly before: string;
  readonly after: string;
  readonly grounds: readonly Ground[];
}

/** An address from what was written to its canonical form. */
export interface AddressStory {
  readonly address: string;
  readonly steps: readonly AddressStep[];
  readonly canonical: string;
  /** Why there is no canonical form now. */
  readonly trouble?: string;
}

/** An alias with what it stands for; an address that stands for itself has no members. */
export interface AliasNode {
  readonly address: string;
  readonly members: readonly AliasNode[];
  readonly grounds: readonly Ground[];
  /** It was expanded at another place of the tree, or stands for itself. */
  readonly repeated?: true;
}

/** A recipient, what it is expanded to, and where each of these ends. */
export interface RecipientFacts {
  /** Why it is a recipient: "recipient", "forwarded" by local, or the parameter that has a copy sent. */
  readonly role: string;
  readonly grounds: readonly Ground[];
  readonly rewriting: AddressStory;
  readonly aliases: AliasNode;
  readonly trouble?: string;
  readonly ends: readonly EndFacts[];
}

/** Where one final address leads. */
export interface EndFacts {
  readonly address: string;
  /** Empty when nobody can tell now; `delivery` says why. */
  readonly class: string;
  readonly transport: string;
  readonly nexthop: string;
  readonly steps: readonly AddressStep[];
  readonly grounds: readonly Ground[];
  /** A filter gets it: transport and next hop are the filter's. */
  readonly filter?: FilterFacts;
  readonly delivery: Delivery;
}

/** The TLS of a host. */
export interface TlsFacts {
  /** A word of smtp_tls_security_level, or "half-dane"; empty when the host must not be used. */
  readonly level: string;
  /** Mail must not go in the clear. */
  readonly required: boolean;
  /** Names or fingerprints one of which the certificate must have. */
  readonly matches: readonly string[];
  /** Why the host must not be used. */
  readonly trouble?: string;
}

/** A host that is tried, in order. */
export interface HostFacts {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly preference: number;
  readonly tls: TlsFacts;
}

/** One destination of a next hop. */
export interface DestinationFacts {
  readonly destination: string;
  readonly hosts: readonly HostFacts[];
  /** Why there are no hosts. */
  readonly failure?: { readonly status: string; readonly text: string; readonly soft: boolean };
}

/** One line of what local does: aliases and files in the order of their tree, and the ends of its branches. */
export type LocalStep =
  & { readonly depth: number; readonly address: string }
  & (
    | { readonly kind: "alias"; readonly name: string; readonly value: string; readonly place: string }
    /** A .forward file or a list; `place` is its path. */
    | { readonly kind: "forward" | "include"; readonly place: string }
    | {
      readonly kind: "mailbox";
      readonly path: string;
      readonly format: string;
      readonly user: string;
      readonly uid: number;
      readonly gid: number;
    }
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "command"; readonly command: string }
    /** A new message: its recipient stands behind the others. */
    | { readonly kind: "forwarded"; readonly sender: string }
    | { readonly kind: "passed"; readonly transport: string; readonly delivery: Delivery }
    | { readonly kind: "discarded" | "bounced" | "deferred"; readonly text: string }
  );

/** What the transport does, and the end of it. */
export type Delivery =
  | { readonly kind: "local"; readonly place: string; readonly steps: readonly LocalStep[] }
  /** To the first host that takes it, destination by destination. */
  | {
    readonly kind: "smtp" | "lmtp";
    readonly place: string;
    readonly destinations: readonly DestinationFacts[];
  }
  | {
    readonly kind: "mailbox";
    readonly place: string;
    readonly path: string;
    readonly format: string;
    readonly uid: number;
    readonly gid: number;
    readonly grounds: readonly Ground[];
  }
  /** Another program. */
  | { readonly kind: "service"; readonly place: string; readonly command: string }
  | { readonly kind: "discarded"; readonly place: string; readonly text: string }
  | {
    readonly kind: "bounced" | "deferred";
    readonly place: string;
    readonly text: string;
    readonly note?: string;
  };

/** Everything. */
export interface Explanation {
  readonly asked: AskedMail;
  /** Undefined where master.toml has no SMTP server. */
  readonly smtp?: SmtpFacts;
  /** The mail filters that have a say, in their order. */
  readonly filters: readonly MailFilterFacts[];
  readonly sender: AddressStory;
  readonly recipients: readonly RecipientFacts[];
  /** The reply accepts it, and no end is a bounce or a deferral. */
  readonly good: boolean;
}
