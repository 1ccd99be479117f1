/**
 * What a session knows of its client beside the connection.
 */
// Access
import type { HiddenKeywords } from "../../lib/access/hidden_keywords.ts";
import type { Standing } from "../../lib/access/policy.ts";
import type { TlsFacts } from "../../lib/access/session_facts.ts";
// This program
import type { ClientAccount } from "./smtpd_anvil.ts";
import type { ClientErrors } from "./smtpd_errors.ts";
import type { CommandCounts } from "./smtpd_counts.ts";
import type { SessionMilters } from "./smtpd_milter.ts";
import type { Transcript } from "./smtpd_transcript.ts";

/** What a session remembers besides its transaction. */
export interface Greeting {
  readonly name: string;
  readonly esmtp: boolean;
}

/** What the configuration says of a client. */
export interface ClientStanding {
  /** It is in mynetworks. */
  readonly trusted: boolean;
  /** Headers of its mail are completed as those of mail from here. */
  readonly local: boolean;
  /** How much it does is neither counted nor limited. */
  readonly unlimited: boolean;
  /** AUTH is kept from it. */
  readonly noLogin: boolean;
  /** EHLO keywords that are neither offered to it nor honoured. */
  readonly hidden: HiddenKeywords;
}

/** An EHLO keyword, in capitals, is kept from the session's client. */
export function hides({ standing }: { readonly standing: ClientStanding }, keyword: string): boolean {
  return standing.hidden.words.has(keyword);
}

/** What a session takes over from the one in whose place it comes: our own counts, and nothing that was said before. */
export interface Inherited {
  /** What restrictions on the client have left behind; undefined where it is another client now. */
  readonly client: Standing | undefined;
  readonly tls: TlsFacts | undefined;
  readonly anvil: ClientAccount;
  readonly counts: CommandCounts;
  readonly errors: ClientErrors;
  readonly transcript: Transcript | undefined;
  /** The filters of the same client. */
  readonly milters: SessionMilters | undefined;
}
