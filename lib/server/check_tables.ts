/**
 * Opens every table that a configuration names, so that a missing or faulty one is said before mail meets it.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../config/configuration.ts";
import { PARAMETER_NAMES, type ParameterName, PARAMETERS } from "../config/parameters.ts";
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
import type { Scope } from "../config/scope.ts";
// Tables
import { checkTables } from "../table/check.ts";
import type { OpenHow } from "../table/open_how.ts";
import { tableSpecs } from "../table/table_files.ts";

/** Parameters whose texthash files are in the syntax of aliases(5). */
const ALIAS_PARAMETERS: readonly string[] = ["alias_database", "alias_maps"];

/** Parameters whose results decide where is written and as whom: no text of the key may get into them. */
const PARANOID_PARAMETERS: readonly string[] = [
  "virtual_gid_maps",
  "virtual_mailbox_maps",
  "virtual_uid_maps",
];

/** Lists of other lists' tables: they come last. */
const SUMMARIES: readonly string[] = ["local_recipient_maps"];

/** Lists whose items are no tables, though some look like one. */
const NO_TABLES: readonly string[] = ["non_smtpd_milters", "smtp_trusted_nexthops", "smtpd_milters"];

const TABLE_PARAMETERS: readonly ParameterName[] = PARAMETER_NAMES
  .filter((name) => PARAMETERS[name].type === "tables" || PARAMETERS[name].type === "list")
  .filter((name) => !NO_TABLES.includes(name))
  .sort((a, b) => Number(SUMMARIES.includes(a)) - Number(SUMMARIES.includes(b)));

/** All that is wrong with the tables of main.toml and of the services' overrides, each table once. */
export function findTableProblems(configuration: Configuration): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const scope of scopesOf(configuration)) {
    for (const name of setFirst(scope)) {
      for (const spec of tablesOf(scope, name)) {
        const key = `${ALIAS_PARAMETERS.includes(name)} ${spec}`;
        const coveredElsewhere = SUMMARIES.includes(name) && seen.has(`true ${spec}`);
        if (seen.has(key) || coveredElsewhere) continue;
        seen.add(key);
        problems.push(...checkOne(spec, name, scope, configuration));
      }
    }
  }
  return problems;
}

/** The parameters that are set before those that take another's value by default: a table is told of where it stands. */
function setFirst(scope: Scope): ParameterName[] {
  const byDefault = (name: string) => Number(scope.setting(name) === undefined);
  return [...TABLE_PARAMETERS].sort((a, b) => byDefault(a) - byDefault(b));
}

/** main.toml's scope, and that of each service that overrides parameters. */
function scopesOf(configuration: Configuration): Scope[] {
  const services: readonly ServiceEntry[] = configuration.services.filter((entry) =>
    entry.parameters.size > 0
  );
  return [configuration.scope, ...services.map((entry) => configuration.scopeOf(entry))];
}

function tablesOf(scope: Scope, name: string): readonly string[] {
  return tableSpecs(scope.value(name) as readonly string[]);
}

function checkOne(spec: string, name: string, scope: Scope, configuration: Configuration): Problem[] {
  const alias = ALIAS_PARAMETERS.includes(name);
  const how: OpenHow = {
    ...(alias ? { syntax: "alias" } : {}),
    ...(alias || PARANOID_PARAMETERS.includes(name) ? { paranoid: true } : {}),
  };
  const namedAt = scope.setting(name) ?? { file: `${configuration.directory}/main.toml`, line: 0 };
  return checkTables([spec], how).map((found) => {
    // A fault in a line of the table's file stands there; one of the table as a whole where the parameter is set.
    const place = found.file === spec || found.line === 0 ? namedAt : { file: found.file, line: found.line };
    const text = `table "${spec}" of "${name}": ${found.text}`;
    return found.severity === "fault" ? errorAt(place, text) : warningAt(place, text);
  });
}
