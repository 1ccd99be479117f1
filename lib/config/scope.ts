/**
 * The parameters as one service sees them: its overrides, main.toml, the defaults; expanded and parsed on demand.
 *
 * @module
 */
import {
  type BounceTemplates,
  BUILT_IN_TEMPLATES,
  expandTemplates,
  parseTemplates,
  TemplateError,
  templateTime,
} from "./bounce_templates.ts";
import { computedDefault, type SystemFacts } from "./defaults.ts";
import { expand, ExpandError } from "./expand.ts";
import { ListFileError, type ListFiles } from "./list_files.ts";
import { didYouMean } from "./nearest.ts";
import { findParameter, type Parameter, PARAMETER_NAMES } from "./parameters.ts";
import { formatPlace, type Place } from "./problem.ts";
import { joinClasses } from "./restriction_classes.ts";
import { splitTransportParameter, TRANSPORT_PARAMETERS } from "./transport.ts";
import { type AnyValue, parseValue } from "./values.ts";

/** The text that a parameter or variable was set to, and where. */
export interface Setting extends Place {
  readonly text: string;
}

/** What is set, and what is there to be known. */
export interface ScopeSource {
  readonly directory: string;
  readonly facts: SystemFacts;
  /** Parameters and variables, the service's own before those of main.toml. */
  readonly layers: readonly ReadonlyMap<string, Setting>[];
  /** Names that only the program knows: service_name, process_name. */
  readonly names: ReadonlyMap<string, string>;
  readonly listFiles: ListFiles;
}

/** A parameter that has no value; `culprit` is the parameter or variable whose text is wrong. */
export class ParameterError extends Error {
  override name = "ParameterError";
  readonly culprit: string;
  readonly cure: string | undefined;

  constructor(culprit: string, text: string, cure?: string) {
    super(text);
    this.culprit = culprit;
    this.cure = cure;
  }
}

/** The row of a parameter, those that each transport has included; undefined for any other name. */
export function findRow(name: string): Parameter | undefined {
  const row = findParameter(name);
  if (row !== undefined) return row;
  const parts = splitTransportParameter(name);
  if (parts === undefined) return undefined;
  const base = TRANSPORT_PARAMETERS[parts.suffix];
  return { ...findParameter(base)!, default: `$${base}` };
}

/** The row with the default's unit: a duration whose default is `$name` has that parameter's. */
function withUnit(row: Parameter): Parameter {
  if (row.type !== "duration" || !row.default.startsWith("$")) return row;
  return { ...row, default: findParameter(row.default.slice(1))?.default ?? row.default };
}

/** Texts, expanded texts and values in one layering; each is worked out once. */
export class Scope {
  readonly #source: ScopeSource;
  readonly #expanded = new Map<string, string>();
  /** Names whose expansion has begun, for loops. */
  readonly #open: string[] = [];

  constructor(source: ScopeSource) {
    this.#source = source;
  }

  /** Where a parameter's value comes from: "FILE:LINE" or "default". */
  origin(name: string): string {
    const place = this.setting(name);
    return place === undefined ? "default" : formatPlace(place);
  }

  /** What the name was set to, or undefined. */
  setting(name: string): Setting | undefined {
    for (const layer of this.#source.layers) {
      const setting = layer.get(name);
      if (setting !== undefined) return setting;
    }
    return undefined;
  }

  /**
   * The text of a parameter or variable before expansion.
   *
   * @throws ParameterError when nobody knows the name
   */
  text(name: string): string {
    const setting = this.setting(name);
    if (setting !== undefined) return setting.text;
    const row = findRow(name);
    const text = row?.computed === true ? this.#computed(name) : row?.default ?? this.#source.names.get(name);
    if (text === undefined) throw this.#unknown(name);
    return text;
  }

  #computed(name: string): string | undefined {
    return computedDefault(name, {
      facts: this.#source.facts,
      directory: this.#source.directory,
      get: (other) => this.expanded(other),
      isSet: (other) => this.setting(other) !== undefined,
    });
  }

  #unknown(name: string): ParameterError {
    const known = new Set<string>([...PARAMETER_NAMES, ...this.#source.names.keys()]);
    for (const layer of this.#source.layers) for (const set of layer.keys()) known.add(set);
    const text = `"$${name}" is neither a parameter nor defined in [variables]`;
    const user = this.#open.findLast((other) => other !== name);
    return new ParameterError(user ?? name, text, didYouMean(name, known));
  }

  /**
   * The text of a parameter or variable with every `$name` replaced.
   *
   * @throws ParameterError
   */
  expanded(name: string): string {
    const known = this.#expanded.get(name);
    if (known !== undefined) return known;
    if (this.#open.includes(name)) {
      const loop = [...this.#open.slice(this.#open.indexOf(name)), name];
      throw new ParameterError(name, `refers to itself: ${loop.join(" -> ")}`);
    }
    this.#open.push(name);
    try {
      const text = this.text(name);
      const result = findRow(name)?.raw === true
        ? this.#unexpanded(name, text)
        : expand(text, (other) => this.expanded(other));
      this.#expanded.set(name, result);
      return result;
    } catch (error) {
      if (error instanceof ExpandError) throw new ParameterError(name, error.message);
      throw error;
    } finally {
      this.#open.pop();
    }
  }

  /** The text of a parameter that its program expands; one that is another's by default is the other's unexpanded text. */
  #unexpanded(name: string, text: string): string {
    return this.setting(name) === undefined && /^\$\w+$/.test(text) ? this.expanded(text.slice(1)) : text;
  }

  /**
   * The value of a parameter: expanded, parsed, within its limits, files of lists read, frozen.
   *
   * @throws ParameterError
   */
  value(name: string): AnyValue {
    const row = findRow(name);
    if (row === undefined) throw this.#unknown(name);
    const text = this.expanded(name);
    if (row.min !== undefined && text === "" && this.setting(name) !== undefined) {
      throw new ParameterError(name, "must not be empty");
    }
    const parsed = parseValue(withUnit(row), text);
    if (parsed.kind === "wrong") throw new ParameterError(name, parsed.why);
    if (row.type === "templates") return this.templates(text);
    if (!Array.isArray(parsed.value)) return parsed.value;
    if (row.classes === true) return Object.freeze(this.#withLists(name, parsed.value));
    return Object.freeze(row.files === true ? this.#withFiles(name, parsed.value) : [...parsed.value]);
  }

  /**
   * The notification texts of a file, or the built-in ones for an empty path.
   *
   * @param asWritten leave `$name` as it stands
   * @throws ParameterError
   */
  templates(path: string, asWritten = false): BounceTemplates {
    const name = "bounce_template_file";
    try {
      const templates = path === ""
        ? BUILT_IN_TEMPLATES
        : parseTemplates(this.#source.listFiles.text(name, path));
      return asWritten ? templates : expandTemplates(templates, (other) => this.#templateName(other));
    } catch (error) {
      if (error instanceof TemplateError) {
        throw new ParameterError(name, `${path}:${error.line}: ${error.message}`);
      }
      if (error instanceof ListFileError || error instanceof ExpandError) {
        throw new ParameterError(name, error.message);
      }
      if (error instanceof ParameterError && this.setting(error.culprit) === undefined) {
        throw new ParameterError(name, `${path}: ${error.message}`, error.cure);
      }
      throw error;
    }
  }

  #templateName(name: string): string {
    const time = templateTime(name);
    if (time === undefined) return this.expanded(name);
    return String(Math.floor((this.value(time.parameter) as number) / time.unit));
  }

  #withLists(name: string, classes: readonly string[]): string[] {
    return joinClasses(classes, (one) => {
      if (this.setting(one) === undefined || findRow(one) !== undefined) {
        throw new ParameterError(
          name,
          `restriction class "${one}" needs a definition`,
          "define it in [variables]",
        );
      }
      return this.expanded(one);
    });
  }

  #withFiles(name: string, items: readonly string[]): readonly string[] {
    try {
      return this.#source.listFiles.expand(name, items);
    } catch (error) {
      if (error instanceof ListFileError) throw new ParameterError(name, error.message);
      throw error;
    }
  }
}
