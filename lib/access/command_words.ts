/**
 * Words that are no commands, by configuration: those that do nothing (smtpd_noop_commands), those of other protocols,
 * whose clients are sent away (smtpd_forbidden_commands), and the table that replaces whole commands
 * (smtpd_command_filter).
 *
 * @module
 */
// Utility
import { isAlpha } from "../vstring/ascii.ts";
import { decodeText, encodeText, isUtf8 } from "../vstring/byte_builder.ts";
import { listSubject, type MatchList, matchLiteral, parseList } from "../table/match_list.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";
import { ADDRESS_LIMIT } from "../proto/protocols.ts";

/** What a word is beside a command. */
export type WordKind = "noop" | "forbidden" | "plain";

/** The table in smtpd_forbidden_commands's default; it takes no table to know what begins with no letter. */
const NO_LETTER = "regexp:{{/^[^A-Z]/ Bogus}}";

/** A parameter and its value. */
interface Named {
  readonly parameter: string;
  readonly items: readonly string[];
}

/** Where the words stand. */
export interface WordSettings {
  readonly noop: Named;
  readonly forbidden: Named;
  readonly filter: Named;
}

/** The words of one process. */
export class CommandWords {
  readonly #settings: WordSettings;
  readonly #maps: MapLookup;
  /** Undefined without any, as mostly. */
  readonly #noop: MatchList | undefined;
  readonly #forbidden: MatchList;
  readonly #noLetter: boolean;
  readonly #filters: boolean;

  constructor(settings: WordSettings, maps: MapLookup) {
    this.#settings = settings;
    this.#maps = maps;
    const { noop, forbidden, filter } = settings;
    this.#noLetter = forbidden.items.includes(NO_LETTER);
    this.#noop = noop.items.length === 0 ? undefined : wordList(noop);
    const items = forbidden.items.filter((item) => item !== NO_LETTER);
    this.#forbidden = wordList({ ...forbidden, items });
    this.#filters = filter.items.length > 0;
  }

  /**
   * What a word is; a promise when a table has to be asked. A table that fails says nothing.
   *
   * @param known it is one of our commands: those are never another protocol's
   */
  kindOf(verb: string, known: boolean): WordKind | Promise<WordKind> {
    if (this.#noop === undefined) return known ? "plain" : this.#foreign(verb);
    const noop = this.#isIn(this.#settings.noop.parameter, this.#noop, verb);
    if (noop === true) return "noop";
    if (noop === false) return known ? "plain" : this.#foreign(verb);
    return noop.then((found) => found ? "noop" : known ? "plain" : this.#foreign(verb));
  }

  #foreign(verb: string): WordKind | Promise<WordKind> {
    if (this.#noLetter && !isAlpha(verb.charCodeAt(0))) return "forbidden";
    const found = this.#isIn(this.#settings.forbidden.parameter, this.#forbidden, verb);
    if (typeof found === "boolean") return found ? "forbidden" : "plain";
    return found.then((is) => is ? "forbidden" : "plain");
  }

  #isIn(parameter: string, list: MatchList, verb: string): boolean | Promise<boolean> {
    const verdict = matchLiteral(list, listSubject("string", verb));
    if (verdict !== "ask") return verdict === "match";
    if (verb.length > ADDRESS_LIMIT) return false;
    return this.#maps.find(parameter, "list", verb).then((found) => found.kind === "found");
  }

  /** True when commands go through the table. */
  get filters(): boolean {
    return this.#filters;
  }

  /** The command in the place of a line; undefined: the line stays; "retry": the table cannot be asked. */
  async replacement(line: Uint8Array): Promise<Uint8Array | "retry" | undefined> {
    // What is longer than a key may be is no command that a table could name.
    if (line.length > ADDRESS_LIMIT || !isUtf8(line)) return undefined;
    const found = await this.#maps.find(this.#settings.filter.parameter, "key", decodeText(line));
    if (found.kind === "retry") return "retry";
    return found.kind === "found" ? encodeText(found.value) : undefined;
  }
}

function wordList({ parameter, items }: Named): MatchList {
  return parseList(items, { kind: "string", parents: "dotted", name: parameter });
}
