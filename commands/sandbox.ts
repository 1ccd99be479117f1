/**
 * NAME
 *   sandbox - prints what each daemon may touch, and tries whether that is all
 *
 * DESCRIPTION
 *   `sandbox` prints, for each service of master.toml and for the helpers, every file, socket, port and program that
 *   its process gets, and the configuration line that caused it; the flags; the user. It is computed by the code that
 *   master starts daemons with. `--json` prints the same for programs. Names of services limit the output to them.
 *
 *   `sandbox --verify` starts the runtime as master would for each service, with a program in the daemon's place that
 *   tries the ways out that class DEN of the security cases names, and prints a table of what came of them. `--json`
 *   prints every single attempt. The mail system need not run, and may.
 *
 * SECURITY
 *   What a probe breaks out with is undone at once; it sends nothing to any other host unless the fence fails.
 *
 * DIAGNOSTICS
 *   `--verify`: status 1 when any probe came out otherwise than it must.
 *
 * PARAMETERS
 *   every parameter that a daemon declares
 *
 * @module
 */
// Safe primitives
import { withoutSlashes } from "../lib/safe/path.ts";
import { runtimePath } from "../lib/safe/process.ts";
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import { didYouMean } from "../lib/config/nearest.ts";
// Server skeleton
import type { AnyHelperTask } from "../lib/server/boot.ts";
import { locateCode } from "../lib/server/code_location.ts";
import { serviceIdentity } from "../lib/server/identity.ts";
import { type Plan, Planner } from "../lib/server/sandbox.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import { describePlan, formatDescription } from "./sandbox_text.ts";
import { verifyPlans } from "./sandbox_verify.ts";

interface Options {
  readonly json: boolean;
  readonly verify: boolean;
  readonly names: readonly string[];
}

function readOptions(args: readonly string[]): Options {
  const known = ["--json", "--verify", "--"];
  for (const arg of args) {
    if (arg.startsWith("-") && !known.includes(arg)) {
      throw new CommandError(
        `fatal: unknown option "${arg}": usage: sandbox [--json] [--verify] [SERVICE ...]`,
      );
    }
  }
  return {
    json: args.includes("--json"),
    verify: args.includes("--verify"),
    names: args.filter((arg) => !arg.startsWith("-")),
  };
}

/** Prints or tries the sandboxes. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const options = readOptions(args);
  const configuration = env.config();
  const code = locateCode(runtimePath());
  const planner = new Planner(configuration, SERVICES, code, systemFacts());
  const plans = [...planner.plans(), ...helperPlans(planner, configuration)];
  const chosen = choose(plans, options.names);
  const identity = (plan: Plan) => serviceIdentity(configuration, plan.service.runAs, plan.boot.helper);
  if (options.verify) {
    return await verifyPlans(
      chosen,
      { planner, code, configuration, identity, plans, json: options.json },
      env,
    );
  }
  const described = chosen.map((plan) => describePlan(plan, configuration, identity(plan)));
  if (options.json) env.out(JSON.stringify(described, undefined, 2) + "\n");
  else env.out(described.map(formatDescription).join("\n"));
  return 0;
}

/** Plans for each service that may ask for helpers: for a mailbox, and for a program, that stand for all. */
function helperPlans(planner: Planner, configuration: Configuration): Plan[] {
  return configuration.services.flatMap((entry) => {
    const service = SERVICES.get(entry.command);
    if (service?.startsHelpers !== true) return [];
    return helperTasks(entry, configuration).map((task) => {
      const command = task.kind === "program" ? "program" : "mailbox";
      const plan = planner.helperPlan(command, entry, task);
      return { ...plan, entry: { ...plan.entry, name: `${command} (for ${entry.name})` } };
    });
  });
}

/** What the helpers of a service are for. */
function helperTasks(entry: ServiceEntry, configuration: Configuration): AnyHelperTask[] {
  const { virtual_mailbox_base, mail_spool_directory, virtual_minimum_uid: uid } = configuration.settings;
  const program = (path: string): AnyHelperTask => ({
    kind: "program",
    program: path,
    args: [],
    environment: {},
    timeLimit: 1,
    uid,
    gid: uid,
  });
  if (entry.pipe !== undefined) return [program(entry.pipe.argv[0]!)];
  const isVirtual = entry.command === "virtual";
  const base = isVirtual && virtual_mailbox_base !== "" ? virtual_mailbox_base : mail_spool_directory;
  const path = `${base.endsWith("/") ? base : `${base}/`}ONE-MAILBOX`;
  if (isVirtual && configuration.settings.virtual_mailbox_shared_helper) {
    return [{ kind: "mailboxes", path: withoutSlashes(base), uid, gid: uid }];
  }
  const mailbox = { kind: "mailbox", path, format: "maildir", user: "ONE-RECIPIENT", uid, gid: uid } as const;
  return isVirtual
    ? [mailbox]
    : [{ ...mailbox, files: ["/home/ONE-RECIPIENT/.forward"] }, program("/bin/sh")];
}

function choose(plans: readonly Plan[], names: readonly string[]): readonly Plan[] {
  if (names.length === 0) return plans;
  const known = plans.flatMap((plan) => [plan.entry.name, plan.service.command]);
  for (const name of names) {
    if (known.includes(name)) continue;
    const nearest = didYouMean(name, known);
    throw new CommandError(
      `fatal: there is no service "${name}"${nearest === undefined ? "" : `: ${nearest}`}`,
    );
  }
  return plans.filter((plan) => names.includes(plan.entry.name) || names.includes(plan.service.command));
}
