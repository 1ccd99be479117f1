/**
 * What the world outside says of a configuration: DNS of myhostname, ports that are taken.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { bindTcp, runtimePath } from "../lib/safe/process.ts";
import { systemLookup } from "../lib/safe/system_lookup.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { errorAt, type Place, type Problem, warningAt } from "../lib/config/problem.ts";
// Server skeleton
import { locateCode } from "../lib/server/code_location.ts";
import { Planner } from "../lib/server/sandbox.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { runningMaster } from "./master_control.ts";

/** Asks DNS, and tries the ports that no mail system of ours has. */
export async function findNetworkProblems(configuration: Configuration): Promise<Problem[]> {
  return [...await findNameProblems(configuration), ...findTakenPorts(configuration)];
}

/** Warns when other hosts will not believe the name that we greet them with. */
async function findNameProblems(configuration: Configuration): Promise<Problem[]> {
  const { myhostname } = configuration.settings;
  const place = configuration.place("myhostname") ?? mainFile(configuration);
  const addresses = [...await systemLookup(myhostname, "A"), ...await systemLookup(myhostname, "AAAA")];
  if (addresses.length === 0) {
    const text = `"myhostname": DNS has no address for "${myhostname}": other hosts may refuse our mail`;
    return [warningAt(place, text, "set the name that DNS has for this host's address")];
  }
  const names = (await Promise.all(addresses.map((address) => systemLookup(address, "PTR")))).flat();
  if (names.some((name) => name.toLowerCase().replace(/\.$/, "") === myhostname.toLowerCase())) return [];
  const found = names.length === 0 ? "no name" : names.map((name) => `"${name}"`).join(", ");
  const text = `"myhostname": DNS has ${found} for ${addresses.join(", ")}, which is not "${myhostname}"`;
  return [warningAt(place, text, "let the address's PTR record name it")];
}

/** The ports that cannot be bound; none while our master has them. */
function findTakenPorts(configuration: Configuration): Problem[] {
  if (runningMaster(configuration.settings.queue_directory) !== undefined) return [];
  const planner = new Planner(configuration, SERVICES, locateCode(runtimePath()), systemFacts(), "");
  const problems: Problem[] = [];
  for (const entry of configuration.services) {
    const endpoint = planner.endpoint(entry);
    if (endpoint.kind === "unix") continue;
    for (const host of endpoint.hosts) {
      try {
        bindTcp(host, endpoint.port).close();
      } catch (error) {
        const why = error instanceof SystemError ? error.message : String(error);
        problems.push(
          errorAt(entry.place, `service "${entry.name}": ${why}`, "stop what has it, or choose another port"),
        );
      }
    }
  }
  return problems;
}

function mainFile(configuration: Configuration): Place {
  return { file: `${configuration.directory}/main.toml`, line: 0 };
}
