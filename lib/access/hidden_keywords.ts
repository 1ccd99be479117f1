/**
 * EHLO keywords that are kept from clients, and not honoured from them: the same for all, or by the client's address
 * (smtpd_discard_ehlo_keywords, smtpd_discard_ehlo_keyword_address_maps).
 *
 * @module
 */
// Utility
import { asciiUpper, splitBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";

/** What is kept from a client. */
export interface HiddenKeywords {
  /** In capitals. */
  readonly words: ReadonlySet<string>;
  /** What the log says of it at EHLO; empty: nothing. */
  readonly told: string;
}

/** Turns the logging off, and is no keyword. */
const SILENT = "SILENT-DISCARD";

/** Where the keywords stand. */
export interface HiddenSource {
  /** For clients that the tables do not have. */
  readonly words: readonly string[];
  /** Name of the parameter with the tables, and its tables. */
  readonly parameter: string;
  readonly tables: readonly string[];
  readonly maps: MapLookup;
  readonly warn: (text: string) => void;
}

/** Knows what is kept from whom. */
export class KeywordFilter {
  readonly #source: HiddenSource;
  readonly #usual: HiddenKeywords;

  constructor(source: HiddenSource) {
    this.#source = source;
    this.#usual = hidden(source.words);
  }

  /** What is kept from the client at an address; a promise when a table has to be asked. */
  of(address: string): HiddenKeywords | Promise<HiddenKeywords> {
    return this.#source.tables.length === 0 ? this.#usual : this.#lookUp(address);
  }

  /** A table that cannot be asked hides what is hidden from everybody. */
  async #lookUp(address: string): Promise<HiddenKeywords> {
    const { parameter, maps, warn } = this.#source;
    const found = await maps.find(parameter, "key", address);
    if (found.kind === "found") return hidden(splitBlanks(found.value, true));
    if (found.kind === "retry") warn(`${parameter}: lookup error for ${address}: ${printable(found.why)}`);
    return this.#usual;
  }
}

function hidden(items: readonly string[]): HiddenKeywords {
  const words = new Set(items.map((item) => asciiUpper(item)));
  const silent = words.delete(SILENT);
  return { words, told: silent ? "" : printable([...words].join(" ")) };
}
