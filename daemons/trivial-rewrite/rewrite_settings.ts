/**
 * The settings of this program, and how its parts look into tables.
 *
 * @module
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
// This program
import type { SERVICE } from "./service.ts";

/** The settings that trivial-rewrite is told. */
export type RewriteSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** What a look-up says. */
export type Found =
  | { readonly kind: "found"; readonly value: string }
  | { readonly kind: "missing" }
  | { readonly kind: "retry"; readonly why: string };

/** Ways to search, as the proxymap protocol names them. */
export type Search = "address" | "transport" | "list";

/** Looks into the tables that a parameter names: the proxymap service, or a table in a test. */
export interface Maps {
  find(parameter: string, search: Search, key: string): Promise<Found>;
}

/** A table that cannot answer now. Thrown by what looks up, caught by the service, which answers "retry". */
export class TableTrouble extends Error {
  override name = "TableTrouble";
}

/** The value that the parameter's tables hold for the key, or undefined. Throws `TableTrouble`. */
export async function findValue(
  maps: Maps,
  parameter: string,
  search: Search,
  key: string,
): Promise<string | undefined> {
  const found = await maps.find(parameter, search, key);
  switch (found.kind) {
    case "found":
      return found.value;
    case "missing":
      return undefined;
    case "retry":
      throw new TableTrouble(`${parameter} lookup failure: ${found.why}`);
    default:
      return found satisfies never;
  }
}
