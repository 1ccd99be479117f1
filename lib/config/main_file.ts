/**
 * main.toml: parameters at the top, `[variables]` of the administrator's own.
 *
 * @module
 */
import { didYouMean } from "./nearest.ts";
import { isParameterName, PARAMETER_NAMES } from "./parameters.ts";
import { findPostfixParameter } from "./postfix_parameters.ts";
import { errorAt, type Place, type Problem } from "./problem.ts";
import { findRow, type Setting } from "./scope.ts";
import { isTable, type TomlFile } from "./toml_file.ts";
import { splitTransportParameter } from "./transport.ts";
import { tomlToText } from "./values.ts";

/** What main.toml sets. */
export interface MainFile {
  readonly parameters: ReadonlyMap<string, Setting>;
  readonly variables: ReadonlyMap<string, Setting>;
}

/** A variable is text, or an array that becomes a list. */
const VARIABLE_ROW = { type: "list", default: "", doc: "" } as const;

/** Takes the settings of main.toml, with a problem for each key that is none. */
export function readMainFile(file: TomlFile, transports: ReadonlySet<string>, problems: Problem[]): MainFile {
  const parameters = new Map<string, Setting>();
  let variables: ReadonlyMap<string, Setting> = new Map();
  for (const [name, value] of Object.entries(file.table)) {
    const place = file.place(name);
    if (name === "variables") variables = readVariables(file, value, problems);
    else if (isTable(value)) problems.push(unknownTable(place, name));
    else readParameter(parameters, place, name, value, transports, problems);
  }
  return { parameters, variables };
}

function unknownTable(place: Place, name: string): Problem {
  return errorAt(place, `unknown table [${name}]`, "main.toml has parameters and the table [variables]");
}

/** Takes one parameter, of main.toml or of a service's overrides, or says what is wrong with it. */
export function readParameter(
  into: Map<string, Setting>,
  place: Place,
  name: string,
  value: unknown,
  transports: ReadonlySet<string>,
  problems: Problem[],
): void {
  const row = findRow(name);
  const transport = isParameterName(name) ? undefined : splitTransportParameter(name)?.transport;
  if (row === undefined || (transport !== undefined && !transports.has(transport))) {
    problems.push(unknownParameter(place, name, transport, transports));
    return;
  }
  const text = tomlToText(row, value);
  if (text.kind === "value") into.set(name, { ...place, text: text.value });
  else problems.push(errorAt(place, `"${name}": ${text.why}`));
}

function unknownParameter(
  place: Place,
  name: string,
  transport: string | undefined,
  transports: ReadonlySet<string>,
): Problem {
  const known = findPostfixParameter(name);
  if (known !== undefined) {
    const why = known.refusal === undefined ? "" : `: ${known.refusal.why}`;
    const text = `"${name}" is a Postfix parameter that Postern does not support${why}`;
    return errorAt(place, text, known.refusal?.cure);
  }
  const service = transport === undefined ? undefined : didYouMean(transport, transports);
  const nearest = didYouMean(name, PARAMETER_NAMES);
  if (transport === undefined || (service === undefined && nearest !== undefined)) {
    return errorAt(
      place,
      `unknown parameter "${name}"`,
      nearest ?? "variables of your own belong in [variables]",
    );
  }
  return errorAt(place, `unknown parameter "${name}": master.toml has no service "${transport}"`, service);
}

function readVariables(file: TomlFile, table: unknown, problems: Problem[]): ReadonlyMap<string, Setting> {
  const variables = new Map<string, Setting>();
  if (!isTable(table)) {
    problems.push(errorAt(file.place("variables"), '"variables" must be a table: [variables]'));
    return variables;
  }
  for (const [name, value] of Object.entries(table)) {
    const place = file.place("variables", name);
    const text = tomlToText(VARIABLE_ROW, value);
    if (findRow(name) !== undefined) {
      problems.push(errorAt(place, `"${name}" is a parameter`, "set it above the first table"));
    } else if (!/^[A-Za-z0-9_]+$/.test(name)) {
      problems.push(
        errorAt(place, `"${name}" cannot be written as $name`, "use letters, digits and underscores"),
      );
    } else if (text.kind === "wrong") {
      problems.push(errorAt(place, `"${name}": expected a string in quotes or an array of strings`));
    } else variables.set(name, { ...place, text: text.value });
  }
  return variables;
}
