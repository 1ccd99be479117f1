/**
 * Reads every list of filters (milters) that a configuration has, so that a faulty one is said before mail meets it.
 *
 * @module
 */
// Utility
import { type Configuration, settingsFor } from "../config/configuration.ts";
import { errorAt, type Problem } from "../config/problem.ts";
// Wire protocols
import {
  MILTER_SETTINGS,
  MilterRuleError,
  type MilterTarget,
  parseMilters,
  parseMilterText,
} from "../milter/milter_rule.ts";
// Server skeleton
import { tableValues } from "./milter_reach.ts";

const PARAMETERS = ["smtpd_milters", "non_smtpd_milters", "smtpd_milter_maps"] as const;

/** What is wrong with the lists of main.toml and of the services' overrides, each fault once. */
export function findMilterProblems(configuration: Configuration): Problem[] {
  const problems = new Map<string, Problem>();
  for (const entry of configuration.services) {
    const scope = configuration.scopeOf(entry);
    const settings = settingsFor(configuration, entry, [...PARAMETERS, ...MILTER_SETTINGS]);
    for (const name of PARAMETERS) {
      try {
        const rules = name === "smtpd_milter_maps"
          ? settings[name].flatMap(tableValues).flatMap((value) => parseMilterText(value, settings))
          : parseMilters(settings[name], settings);
        for (const { target } of rules) demandService(target, configuration);
      } catch (error) {
        if (!(error instanceof MilterRuleError)) throw error;
        const place = scope.setting(name) ?? { file: `${configuration.directory}/main.toml`, line: 0 };
        const problem = errorAt(place, `"${name}": ${error.message}`);
        problems.set(`${place.file}:${place.line} ${problem.text}`, problem);
      }
    }
  }
  return [...problems.values()];
}

/** A filter of our own must be a service that runs one. */
function demandService(target: MilterTarget, { services }: Configuration): void {
  if (
    target.kind !== "service" || services.some((one) => one.name === target.name && one.command === "filter")
  ) {
    return;
  }
  throw new MilterRuleError(`master.toml has no service "${target.name}" with command "filter"`);
}
