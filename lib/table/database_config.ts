/**
 * What the configuration files of all database tables have in common.
 *
 * @module
 */
// Utility
import { ListFileError, ListFiles } from "../config/list_files.ts";
// Tables
import type { TableFiles } from "./file_table.ts";
import { type MatchList, parseList } from "./match_list.ts";
import { ParameterFile } from "./parameter_file.ts";
import { parseQuery, type QueryTemplate } from "./query_template.ts";
import { parseTarget, type ServerTarget } from "./server_target.ts";
import { refuse, type Table, TableError, type Warn } from "./table.ts";

/** What is needed to read a configuration file. */
export interface ConfigReading {
  readonly spec: string;
  readonly path: string;
  readonly files: Pick<TableFiles, "read">;
  readonly warn: Warn;
  /** Opens a table that `domain` names. */
  readonly open: (spec: string) => Table;
}

/** The parameters that every database type has. */
export const COMMON_PARAMETERS = ["domain", "expansion_limit", "result_format"] as const;

/** The parts that every database type has. */
export interface CommonConfig {
  readonly spec: string;
  readonly domains: MatchList | undefined;
  readonly format: QueryTemplate;
  readonly expansionLimit: number;
}

/** Reads the file. Throws a TableError. */
export function readParameterFile(reading: ConfigReading, known: readonly string[]): ParameterFile {
  const { spec, path, files, warn } = reading;
  let text: string;
  try {
    text = files.read(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TableError(spec, { file: path, line: 0, text: why }, { cause: error });
  }
  return new ParameterFile(spec, path, text, known, warn);
}

/** The common parameters. */
export function commonConfig(reading: ConfigReading, file: ParameterFile): CommonConfig {
  return {
    spec: reading.spec,
    domains: domainList(reading, file),
    format: template(file, "result_format", "%s"),
    expansionLimit: file.number("expansion_limit", 0),
  };
}

/** A template with its faults told at its line. */
export function template(file: ParameterFile, name: string, otherwise: string): QueryTemplate {
  return templateText(file, name, file.text(name, otherwise));
}

/** The same for a text that another parameter gave. */
export function templateText(file: ParameterFile, name: string, text: string): QueryTemplate {
  const parsed = parseQuery(text);
  if (parsed.kind === "bad") refuse(file.place(name), `${name}: ${parsed.why}`);
  return parsed.template;
}

/** Servers named by a parameter. */
export function targets(
  file: ParameterFile,
  name: string,
  words: readonly string[],
  port: number,
): ServerTarget[] {
  return words.map((word) => {
    const target = parseTarget(word, port);
    if (target === undefined) {
      refuse(file.place(name), `"${word}" of "${name}" is no server: write host, host:port or unix:/path`);
    }
    return target;
  });
}

/** The list of `domain`: names, tables, files of both. */
function domainList(reading: ConfigReading, file: ParameterFile): MatchList | undefined {
  const words = file.words("domain");
  if (words.length === 0) return undefined;
  let items: readonly string[];
  try {
    items = new ListFiles((path) => reading.files.read(path)).expand("domain", words);
  } catch (error) {
    if (error instanceof ListFileError) refuse(file.place("domain"), error.message);
    throw error;
  }
  return parseList(items, { kind: "string", parents: "dotted", name: "domain", open: reading.open });
}
