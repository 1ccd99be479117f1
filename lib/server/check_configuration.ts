/**
 * Everything that can be known of a configuration before it runs; `check`, `start`, `reload` and master ask the same.
 *
 * @module
 */
// Safe primitives
import { lookAt, readTextFile } from "../safe/file.ts";
// Utility
import type { Configuration } from "../config/configuration.ts";
import type { Problem } from "../config/problem.ts";
// Server skeleton
import { findUnsafeFiles } from "./check_files.ts";
import { findAliasLoops } from "./check_loops.ts";
import { findMilterProblems } from "./check_milters.ts";
import { findProgramProblems } from "./check_programs.ts";
import { findLostRules } from "./check_rules.ts";
import { findTableProblems } from "./check_tables.ts";
import { findFilterProblems } from "./filter_reach.ts";
import { findBrokenExpectations } from "./expectations.ts";
import { findOpenRelays } from "./open_relay.ts";
import type { Service } from "./service.ts";
import { findPolicyProblems } from "./policy_reach.ts";
import { findProxyProblems } from "./proxy_reach.ts";
import { findSaslProblems } from "./sasl_reach.ts";
import { findTlsProblems } from "./tls_files.ts";
import { systemGateways } from "./system_facts.ts";
import { findClientTlsProblems } from "./tls_client_files.ts";

/** Largest expect.toml, bytes. */
const EXPECT_LIMIT = 4 * 1024 * 1024;

/**
 * The problems of a configuration that loads.
 *
 * @param services the daemons' declarations
 */
export async function findProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
): Promise<Problem[]> {
  return [
    ...findTableProblems(configuration),
    ...findTlsProblems(configuration, services),
    ...findSaslProblems(configuration, services),
    ...findLostRules(configuration),
    ...findUnsafeFiles(configuration),
    ...findAliasLoops(configuration),
    ...findFilterProblems(configuration, services),
    ...findMilterProblems(configuration),
    ...findClientTlsProblems(configuration, services),
    ...findProgramProblems(configuration),
    ...findPolicyProblems(configuration),
    ...findProxyProblems(configuration),
    ...await findDecisionProblems(configuration, services),
  ];
}

/** What the rules decide wrongly: strangers that may relay, expectations that are not met. */
export async function findDecisionProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
): Promise<Problem[]> {
  const readText = (path: string) =>
    lookAt(path) === undefined ? undefined : readTextFile(path, EXPECT_LIMIT);
  return [
    ...await findOpenRelays(configuration, services, systemGateways()),
    ...await findBrokenExpectations(configuration, services, readText),
  ];
}
