/**
 * Words that are no commands here, by configuration: those that do nothing (smtpd_noop_commands), those of other protocols,
 * whose clients are sent away (smtpd_forbidden_commands), and the table that replaces whole commands
 * (smtpd_command_filter).
 */
// Utility
import { isAlpha } from "../../lib/vstring/ascii.ts";
import { decodeText, encodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";
import { listSubject, type MatchList, matchLiteral, parseList } from "../../lib/table/match_list.ts";
// Internal protocols
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
import { ADDRESS_LIMIT } from "../../lib/proto/protocols.ts";
// This program
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** What a word is beside a command. */
export type WordKind = "noop" | "forbidden" | "plain";

/** The table in smtpd_forbidden_commands's default; it takes no table to know what begins with no letter. */
const NO_LETTER = "regexp:{{/^[^A-Z]/ Bogus}}";

type WordParameter = "smtpd_noop_commands" | "smtpd_forbidden_commands";

/** The words of one process. */
export class Words {
  readonly #maps: MapLookup;
  /** Undefined without any, as mostly. */
  readonly #noop: MatchList | undefined;
  readonly #forbidden: MatchList;
  readonly #noLetter: boolean;
  readonly #filters: boolean;

  constructor(settings: SmtpdSettings, maps: MapLookup) {
    this.#maps = maps;
    const list = (name: WordParameter, items: readonly string[]) =>
      parseList(items, { kind: "string", parents: "dotted", name });
    const forbidden = settings.smtpd_forbidden_commands;
    this.#noLetter = forbidden.includes(NO_LETTER);
    const noop = settings.smtpd_noop_commands;
    this.#noop = noop.length === 0 ? undefined : list("smtpd_noop_commands", noop);
    this.#forbidden = list("smtpd_forbidden_commands", forbidden.filter((item) => item !== NO_LETTER));
    this.#filters = settings.smtpd_command_filter.length > 0;
  }

  /**
   * What a word is; a promise when a table has to be asked. A table that fails says nothing.
   *
   * @param known it is one of our commands: those are never another protocol's
   */
  kindOf(verb: string, known: boolean): WordKind | Promise<WordKind> {
    if (this.#noop === undefined) return known ? "plain" : this.#foreign(verb);
    const noop = this.#isIn("smtpd_noop_commands", this.#noop, verb);
    if (noop === true) return "noop";
    if (noop === false) return known ? "plain" : this.#foreign(verb);
    return noop.then((found) => found ? "noop" : known ? "plain" : this.#foreign(verb));
  }

  #foreign(verb: string): WordKind | Promise<WordKind> {
    if (this.#noLetter && !isAlpha(verb.charCodeAt(0))) return "forbidden";
    const found = this.#isIn("smtpd_forbidden_commands", this.#forbidden, verb);
    if (typeof found === "boolean") return found ? "forbidden" : "plain";
    return found.then((is) => is ? "forbidden" : "plain");
  }

  #isIn(parameter: WordParameter, list: MatchList, verb: string): boolean | Promise<boolean> {
    const verdict = matchLiteral(list, listSubject("string", verb));
    if (verdict !== "ask") return verdict === "match";
    if (verb.length > ADDRESS_LIMIT) return false;
    return this.#maps.find(parameter, "list", verb).then((found) => found.kind === "found");
  }

  /** True when commands go through smtpd_command_filter. */
  get filters(): boolean {
    return this.#filters;
  }

  /** The command in the place of a line; undefined: the line stays; "retry": the table cannot be asked. */
  async replacement(line: Uint8Array): Promise<Uint8Array | "retry" | undefined> {
    // What is longer than a key may be is no command that a table could name.
    if (line.length > ADDRESS_LIMIT || !isUtf8(line)) return undefined;
    const found = await this.#maps.find("smtpd_command_filter", "key", decodeText(line));
    if (found.kind === "retry") return "retry";
    return found.kind === "found" ? encodeText(found.value) : undefined;
  }
}
