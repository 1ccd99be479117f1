/**
 * The parameters that decide about local delivery, and what other programs do for it.
 *
 * @module
 */
// Tables
import { type SearchOutcome } from "../../lib/table/search.ts";
// Server skeleton
import { type Settings } from "../../lib/config/parameters.ts";
import { type HelperRequest } from "../../lib/server/boot.ts";
import { type HelperFile } from "../../lib/server/mailbox_helper.ts";
// This program
import { type SERVICE } from "./service.ts";

/** The frozen settings of the local agent. */
export type LocalSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Tables by user name. */
export type UserMaps = "mailbox_transport_maps" | "mailbox_command_maps" | "fallback_transport_maps";

/** What trivial-rewrite says of an address. */
export type Resolved =
  | { readonly kind: "resolved"; readonly transport: string; readonly recipient: string }
  | { readonly kind: "bad" }
  | { readonly kind: "retry"; readonly why: string };

/** The look-ups of an expansion. None of them throws. */
export interface LocalSources {
  /** The alias of exactly this local part. */
  alias(localpart: string): Promise<SearchOutcome>;
  /** What the tables have for a user. */
  forUser(maps: UserMaps, user: string): Promise<SearchOutcome>;
  /** The first that exists of the files of a request. */
  read(request: HelperRequest): Promise<HelperFile>;
  /** The line of passwd(5) of a user. */
  passwd(user: string): Promise<SearchOutcome>;
  /** Completes and resolves an address of an alias. */
  resolve(sender: string, address: string): Promise<Resolved>;
  /** The canonical form of an address, or undefined when it cannot be had now. */
  rewrite(address: string): Promise<string | undefined>;
  /** True when the message was delivered to the address before. */
  wasDeliveredTo(address: string): boolean;
  warn(text: string): void;
}
