/**
 * `parseArgs` of `@std/cli`: minimist's rules for command lines.
 *
 * @module
 */

type Names = string | undefined;
type Booleans = boolean | string | undefined;
type AliasMap = { readonly [name: string]: string | ReadonlyArray<string> };

type FlagNames<T> = Extract<T, string>;

/** The types of the flags that the options name, before aliases and defaults. */
type NamedFlags<B, S, C, N> =
  & { [K in Exclude<FlagNames<B>, FlagNames<C>>]: boolean }
  & { [K in Extract<FlagNames<B>, FlagNames<C>>]: boolean[] }
  & { [K in Exclude<FlagNames<S>, FlagNames<C>>]?: K extends FlagNames<N> ? string | false : string }
  & { [K in Extract<FlagNames<S>, FlagNames<C>>]: K extends FlagNames<N> ? string[] | false : string[] }
  & { [K in Exclude<FlagNames<C>, FlagNames<B> | FlagNames<S>>]: unknown[] };

type WithDefaults<F, D> = D extends undefined ? F
  : Omit<F, keyof D> & { [K in keyof D]: K extends keyof F ? NonNullable<F[K]> | D[K] : D[K] };

type AliasesOf<K, A> = K extends keyof A
  ? A[K] extends ReadonlyArray<string> ? A[K][number] : A[K] extends string ? A[K] : never
  : never;

type WithAliases<F, A> = { [K in keyof F as K | AliasesOf<K, A>]: F[K] };

/** Flattens an intersection for the reader of an editor's hint. */
type Flat<T> = { [K in keyof T]: T[K] };

type IsUntyped<B, S, C> = [FlagNames<B> | FlagNames<S> | FlagNames<C>] extends [never] ? true : false;

type Values<B, S, C, N, D, A> = IsUntyped<B, S, C> extends true
  // deno-lint-ignore no-explicit-any
  ? Record<string, any>
  : Record<string, unknown> & Flat<WithAliases<WithDefaults<NamedFlags<B, S, C, N>, D>, A>>;

/** What `parseArgs` returns: the flags by name, and all else in `_`. */
export type Args<
  // deno-lint-ignore no-explicit-any
  TArgs extends Record<string, unknown> = Record<string, any>,
  TDoubleDash extends boolean | undefined = undefined,
> =
  & TArgs
  & { /** Arguments that belong to no flag. */ _: Array<string | number> }
  & (true extends TDoubleDash ? { /** Arguments after `--`. */ "--": Array<string> } : unknown);

/** Options of `parseArgs`. */
export interface ParseOptions<
  TBooleans extends Booleans = Booleans,
  TStrings extends Names = Names,
  TCollectable extends Names = Names,
  TNegatable extends Names = Names,
  TDefault extends Record<string, unknown> | undefined = Record<string, unknown> | undefined,
  TAliases extends AliasMap | undefined = AliasMap | undefined,
  TDoubleDash extends boolean | undefined = boolean | undefined,
> {
  /** Puts what follows `--` into the result's `--` rather than into `_`. */
  "--"?: TDoubleDash;
  /** Other names of flags. */
  alias?: TAliases;
  /** Flags without a value, false unless given; true: every `--flag` without `=`. */
  boolean?: TBooleans | ReadonlyArray<Extract<TBooleans, string>>;
  /** Values of flags that are not given. */
  default?: TDefault;
  /** Puts everything from the first argument on that is not a flag into `_`. */
  stopEarly?: boolean;
  /** Flags whose value stays text even if it looks like a number. */
  string?: TStrings | ReadonlyArray<Extract<TStrings, string>>;
  /** Flags whose values are collected in an array. */
  collect?: TCollectable | ReadonlyArray<Extract<TCollectable, string>>;
  /** Flags that `--no-flag` makes false. */
  negatable?: TNegatable | ReadonlyArray<Extract<TNegatable, string>>;
  /** Called with each argument that the options do not know; false leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/**
 * Reads a command line.
 *
 * @param args the arguments, as `Deno.args` has them
 * @param options which flags there are; without any, types are guessed
 * @return the flags and, in `_`, the rest
 */
export function parseArgs<
  TArgs extends Values<TBooleans, TStrings, TCollectable, TNegatable, TDefaults, TAliases>,
  TDoubleDash extends boolean | undefined = undefined,
  TBooleans extends Booleans = undefined,
  TStrings extends Names = undefined,
  TCollectable extends Names = undefined,
  TNegatable extends Names = undefined,
  TDefaults extends Record<string, unknown> | undefined = undefined,
  const TAliases extends AliasMap | undefined = undefined,
>(
  args: string[],
  options?: ParseOptions<TBooleans, TStrings, TCollectable, TNegatable, TDefaults, TAliases, TDoubleDash>,
): Args<TArgs, TDoubleDash> {
  const end = args.indexOf("--");
  const parser = new ArgsParser(options ?? {});
  parser.read(end < 0 ? args : args.slice(0, end));
  return parser.finish(end < 0 ? [] : args.slice(end + 1)) as Args<TArgs, TDoubleDash>;
}

interface Tree {
  [key: string]: unknown;
}

/** A flag argument taken apart: `--no-key=value` or `-key=value`. */
interface Flag {
  readonly double: boolean;
  readonly negated: boolean;
  readonly key: string;
  readonly value: string | undefined;
}

class ArgsParser {
  readonly #options: ParseOptions;
  readonly #aliases = new Map<string, ReadonlySet<string>>();
  readonly #booleans: ReadonlySet<string>;
  readonly #strings: ReadonlySet<string>;
  readonly #collected: ReadonlySet<string>;
  readonly #negatable: ReadonlySet<string>;
  readonly #flags: Tree = {};
  readonly #rest: Array<string | number> = [];

  constructor(options: ParseOptions) {
    this.#options = options;
    for (const [name, value] of Object.entries(options.alias ?? {})) {
      if (value === undefined) throw new TypeError("Alias value must be defined");
      const family = [name, ...(typeof value === "string" ? [value] : value)];
      for (const member of family) {
        this.#aliases.set(
          member,
          new Set(family.filter((other) => other !== member)),
        );
      }
    }
    this.#booleans = this.#withAliases(typeof options.boolean === "boolean" ? undefined : options.boolean);
    this.#strings = this.#withAliases(options.string);
    this.#collected = this.#withAliases(options.collect);
    this.#negatable = this.#withAliases(options.negatable);
  }

  #withAliases(names: string | ReadonlyArray<string> | undefined): ReadonlySet<string> {
    const out = new Set<string>();
    for (const name of typeof names === "string" ? [names] : names ?? []) {
      if (name === "") continue;
      out.add(name);
      this.#aliases.get(name)?.forEach((alias) => out.add(alias));
    }
    return out;
  }

  /** Takes the arguments before `--`. */
  read(args: readonly string[]): void {
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      const flag = splitFlag(arg);
      if (flag !== undefined) {
        const usesNext = flag.double
          ? this.#readLong(flag, arg, args[i + 1])
          : this.#readShort(arg, args[i + 1]);
        if (usesNext) i++;
        continue;
      }
      if (this.#options.unknown?.(arg) !== false) {
        this.#rest.push(this.#strings.has("_") || !isNumber(arg) ? arg : Number(arg));
      }
      if (this.#options.stopEarly) {
        this.#rest.push(...args.slice(i + 1));
        return;
      }
    }
  }

  /** Takes `--flag`; true when the next argument was its value. */
  #readLong(flag: Flag, arg: string, next: string | undefined): boolean {
    if (flag.value !== undefined) {
      this.#set(flag.key, this.#booleans.has(flag.key) ? flag.value !== "false" : flag.value, arg);
      return false;
    }
    if (flag.negated && this.#negatable.has(flag.key)) {
      this.#set(flag.key, false, arg, false);
      return false;
    }
    const key = flag.negated ? `no-${flag.key}` : flag.key;
    if (next) {
      if (this.#options.boolean !== true && !next.startsWith("-") && !this.#isBoolean(key)) {
        this.#set(key, next, arg);
        return true;
      }
      if (next === "true" || next === "false") {
        this.#set(key, next === "true", arg);
        return true;
      }
    }
    this.#set(key, this.#strings.has(key) ? "" : true, arg);
    return false;
  }

  /** Takes `-abc`; true when the next argument was the value of the last letter. */
  #readShort(arg: string, next: string | undefined): boolean {
    const letters = arg.slice(1, -1);
    for (let i = 0; i < letters.length; i++) {
      const letter = letters[i]!;
      const after = arg.slice(i + 2);
      if (after === "-") {
        this.#set(letter, after, arg);
        continue;
      }
      const value = attachedValue(letter, after, letters[i + 1]);
      if (value !== undefined) {
        this.#set(letter, value, arg);
        return false;
      }
      this.#set(letter, this.#strings.has(letter) ? "" : true, arg);
    }
    const key = arg.slice(-1);
    if (key === "-") return false;
    if (next) {
      if (!/^(-|--)[^-]/.test(next) && !this.#isBoolean(key)) {
        this.#set(key, next, arg);
        return true;
      }
      if (next === "true" || next === "false") {
        this.#set(key, next === "true", arg);
        return true;
      }
    }
    this.#set(key, this.#strings.has(key) ? "" : true, arg);
    return false;
  }

  #isBoolean(key: string): boolean {
    if (this.#booleans.has(key)) return true;
    return [...this.#aliases.get(key) ?? []].some((alias) => this.#booleans.has(alias));
  }

  #isKnown(key: string, arg: string): boolean {
    return this.#booleans.has(key) || this.#strings.has(key) || this.#aliases.has(key) ||
      (this.#options.boolean === true && /^--[^=]+$/.test(arg));
  }

  #set(key: string, given: string | boolean, arg: string, collect = true): void {
    if (!this.#isKnown(key, arg) && this.#options.unknown?.(arg, key, given) === false) return;
    const number = typeof given === "string" && !this.#strings.has(key) && isNumber(given);
    const value = number ? Number(given) : given;
    const collects = collect && this.#collected.has(key);
    setNested(this.#flags, key, value, collects);
    this.#aliases.get(key)?.forEach((alias) => setNested(this.#flags, alias, value, collects));
  }

  /** The result, with what followed `--`. */
  finish(after: readonly string[]): Tree {
    for (const [key, value] of Object.entries(this.#options.default ?? {})) {
      if (hasNested(this.#flags, key)) continue;
      setNested(this.#flags, key, value, false);
      this.#aliases.get(key)?.forEach((alias) => setNested(this.#flags, alias, value, false));
    }
    for (const key of this.#booleans) {
      if (!hasNested(this.#flags, key)) {
        setNested(this.#flags, key, this.#collected.has(key) ? [] : false, false);
      }
    }
    for (const key of this.#strings) {
      if (!hasNested(this.#flags, key) && this.#collected.has(key)) setNested(this.#flags, key, [], false);
    }
    if (this.#options["--"]) return { ...this.#flags, _: this.#rest, "--": [...after] };
    return { ...this.#flags, _: [...this.#rest, ...after] };
  }
}

/** The parts of an argument that begins with a hyphen and is more than hyphens, or undefined. */
function splitFlag(arg: string): Flag | undefined {
  if (arg.length < 2 || arg[0] !== "-") return undefined;
  const double = arg[1] === "-" && arg.length > 2;
  let text = arg.slice(double ? 2 : 1);
  const negated = double && text.startsWith("no-") && text.length > 3;
  if (negated) text = text.slice(3);
  const equals = text.indexOf("=", 1);
  if (equals < 0 || equals === text.length - 1) return { double, negated, key: text, value: undefined };
  return { double, negated, key: text.slice(0, equals), value: text.slice(equals + 1) };
}

/** The value that is written right behind a letter: `-n5`, `-n=5`, `-n/path`. */
function attachedValue(letter: string, after: string, nextLetter: string | undefined): string | undefined {
  if (/[A-Za-z]/.test(letter)) {
    const value = /=(.+)/.exec(after)?.[1];
    if (value !== undefined) return value;
    if (/-?\d+(\.\d*)?(e-?\d+)?$/.test(after)) return after;
  }
  return nextLetter !== undefined && /\W/.test(nextLetter) ? after : undefined;
}

function isNumber(text: string): boolean {
  return /\S/.test(text) && Number.isFinite(Number(text));
}

function setNested(tree: Tree, path: string, value: unknown, collect: boolean): void {
  const keys = path.split(".");
  const last = keys.pop()!;
  for (const key of keys) {
    // Own properties only: `--constructor.prototype.x=1` must not reach what all objects share.
    if (!Object.hasOwn(tree, key)) tree[key] = {};
    tree = tree[key] as Tree;
  }
  if (!collect) tree[last] = value;
  else if (Array.isArray(tree[last])) tree[last].push(value);
  else tree[last] = tree[last] ? [tree[last], value] : [value];
}

function hasNested(tree: Tree, path: string): boolean {
  for (const key of path.split(".")) {
    if (!Object.hasOwn(tree, key)) return false;
    tree = tree[key] as Tree;
  }
  return true;
}
