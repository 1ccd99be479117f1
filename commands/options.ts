/**
 * Command-line options as getopt(3) reads them with "+": letters in groups, an argument in the same word or in the
 * next, `--` ends the options, the first word that is no option ends them too.
 *
 * @module
 */

/** One option as given. */
export interface GivenOption {
  readonly letter: string;
  /** Its argument; empty for an option that takes none. */
  readonly value: string;
}

/** The options of a command line, or what is wrong with it. */
export type ParsedOptions =
  | {
    readonly kind: "parsed";
    readonly options: readonly GivenOption[];
    readonly operands: readonly string[];
  }
  /** `why` as getopt words it: "invalid option -- 'q'". */
  | { readonly kind: "invalid"; readonly why: string };

/**
 * Reads the options of a command line.
 *
 * @param letters the options that exist; a colon behind one says that it takes an argument
 */
export function parseOptions(args: readonly string[], letters: string): ParsedOptions {
  const options: GivenOption[] = [];
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at]!;
    if (word === "--") {
      at++;
      break;
    }
    if (word.length < 2 || word[0] !== "-") break;
    for (let i = 1; i < word.length; i++) {
      const letter = word[i]!;
      const place = letter === ":" ? -1 : letters.indexOf(letter);
      if (place < 0) return { kind: "invalid", why: `invalid option -- '${letter}'` };
      if (letters[place + 1] !== ":") {
        options.push({ letter, value: "" });
        continue;
      }
      const rest = word.slice(i + 1);
      const value = rest !== "" ? rest : args[++at];
      if (value === undefined) {
        return { kind: "invalid", why: `option requires an argument -- '${letter}'` };
      }
      options.push({ letter, value });
      break;
    }
  }
  return { kind: "parsed", options, operands: args.slice(at) };
}
