/**
 * How an internal protocol is written down: one table per protocol, from which both ends take their types and
 * their codec. A field is named, typed and bounded; a message with a field missing, unknown or left over is refused.
 *
 * @module
 */

/** One field's type and bound. `list` holds up to `most` groups of fields. */
export type Field =
  | { readonly kind: "text"; readonly most: number }
  | { readonly kind: "bytes"; readonly most: number }
  | { readonly kind: "integer"; readonly most: number }
  | { readonly kind: "flag" }
  | { readonly kind: "choice"; readonly of: readonly string[] }
  | { readonly kind: "list"; readonly of: Fields; readonly most: number };

/** A group of fields by their names. */
export type Fields = { readonly [name: string]: Field };

/** A string of at most `most` bytes of UTF-8. */
export const text = <const N extends number>(most: N) => ({ kind: "text", most }) as const;
/** At most `most` bytes. */
export const bytes = <const N extends number>(most: N) => ({ kind: "bytes", most }) as const;
/** An integer from 0 to `most`. */
export const integer = (most: number = Number.MAX_SAFE_INTEGER) => ({ kind: "integer", most }) as const;
/** A boolean. */
export const flag = () => ({ kind: "flag" }) as const;
/** One of the words. */
export const choice = <const W extends readonly string[]>(...of: W) => ({ kind: "choice", of }) as const;
/** Up to `most` groups of the fields. */
export const list = <const F extends Fields>(most: number, of: F) => ({ kind: "list", of, most }) as const;

type ValueOf<F extends Field> = F extends { kind: "text" } ? string
  : F extends { kind: "bytes" } ? Uint8Array
  : F extends { kind: "integer" } ? number
  : F extends { kind: "flag" } ? boolean
  : F extends { kind: "choice"; of: infer W extends readonly string[] } ? W[number]
  : F extends { kind: "list"; of: infer G extends Fields } ? readonly Values<G>[]
  : never;

/** The object that a group of fields carries. */
export type Values<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** A message: its fields and how it takes part in an exchange. */
export interface Message {
  readonly fields: Fields;
  /** Reply that ends its exchange. */
  readonly last?: true;
  /** Request that gets no reply: it opens no exchange. */
  readonly oneway?: true;
  /** Request whose `bytes` count against the exchange's window, so that a slow server slows its client. */
  readonly flow?: true;
}

/** The messages of one direction by their names. */
export type Messages = { readonly [name: string]: Message };

/** One internal protocol. Requests go from client to server, replies back. */
export interface Protocol {
  readonly name: string;
  readonly version: number;
  /** Asking again does no harm: a `call` whose service went away is made once more. */
  readonly repeatable?: true;
  readonly requests: Messages;
  readonly replies: Messages;
}

/** Checks the table's form and keeps its literal types. */
export function protocol<const P extends Protocol>(table: P): P {
  return table;
}

/** A message with its name, as handlers get it: narrow with `message.is`. */
export type AnyMessage<M extends Messages> = {
  [K in keyof M & string]: { readonly is: K } & Values<M[K]["fields"]>;
}[keyof M & string];

/** Any request of a protocol. */
export type Request<P extends Protocol> = AnyMessage<P["requests"]>;
/** Any reply of a protocol. */
export type Reply<P extends Protocol> = AnyMessage<P["replies"]>;
/** The fields of the request called K. */
export type RequestValues<P extends Protocol, K extends keyof P["requests"]> = Values<
  P["requests"][K]["fields"]
>;
/** The fields of the reply called K. */
export type ReplyValues<P extends Protocol, K extends keyof P["replies"]> = Values<P["replies"][K]["fields"]>;
