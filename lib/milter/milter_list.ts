/**
 * All filters of one session, in the order of the configuration. The first that refuses decides, and those behind it
 * are not told of what it has refused.
 *
 * @module
 */
// This protocol
import { Milter, type MilterClient, type MilterParts } from "./milter.ts";
import type { MacroLookup } from "./milter_macro.ts";
import { CONTINUE, type MilterVerdict } from "./milter_reply.ts";
import type { MilterRule } from "./milter_rule.ts";

/** The filters of one session. */
export class MilterList {
  readonly milters: readonly Milter[];
  readonly #defaults: ReadonlyMap<string, string>;

  constructor(rules: readonly MilterRule[], parts: MilterParts) {
    this.#defaults = parts.defaults;
    this.milters = rules.map((rule) => new Milter(rule, parts));
  }

  /** What filters are told for a macro. */
  macroValue(name: string, lookup: MacroLookup): string | undefined {
    return lookup(name) ?? this.#defaults.get(name);
  }

  connected(client: MilterClient, lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.connected(client, lookup));
  }

  helo(name: string, lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.helo(name, lookup));
  }

  mail(words: readonly string[], lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.mail(words, lookup));
  }

  rcpt(words: readonly string[], lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.rcpt(words, lookup));
  }

  /** Tells those who want to know of a recipient that was refused; what they say of it changes nothing. */
  async rejectedRcpt(words: readonly string[], lookup: MacroLookup): Promise<void> {
    for (const milter of this.milters) if (milter.wantsRejected) await milter.rcpt(words, lookup);
  }

  data(lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.data(lookup));
  }

  unknown(line: Uint8Array, lookup: MacroLookup): Promise<MilterVerdict> {
    return this.#all((milter) => milter.unknown(line, lookup));
  }

  /** The message is over. */
  async abort(): Promise<void> {
    for (const milter of this.milters) await milter.abort();
  }

  /** The client has gone. */
  async quit(): Promise<void> {
    for (const milter of this.milters) await milter.quit();
  }

  /** A message on hold is still for the other filters to see: one of them may refuse it. */
  async #all(ask: (milter: Milter) => Promise<MilterVerdict>): Promise<MilterVerdict> {
    let result = CONTINUE;
    for (const milter of this.milters) {
      const verdict = await ask(milter);
      if (verdict.kind === "hold") result = verdict;
      else if (verdict.kind !== "continue") return verdict;
    }
    return result;
  }
}
