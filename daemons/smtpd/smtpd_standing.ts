/**
 * What is known of a client beside what it says in a transaction.
 */

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
  /** AUTH is kept from it. */
  readonly noLogin: boolean;
  /** How much it does is neither counted nor limited. */
  readonly unlimited: boolean;
}
