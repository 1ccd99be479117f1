/**
 * The supervisor: all services of one configuration, their start, reload and end.
 */
// Utility
import { type Configuration, loadConfiguration, settingsFor } from "../../lib/config/configuration.ts";
import { describeProblem, type Problem } from "../../lib/config/problem.ts";
import { type Logger, makeLogger } from "../../lib/log/log.ts";
import { type BoundListener, findUser, startProcess } from "../../lib/safe/process.ts";
import { readTextFile, removeFile } from "../../lib/safe/file.ts";
// Server skeleton
import { mendQueue, prepareQueue } from "../../lib/server/prepare_queue.ts";
import { HEARTBEAT_INTERVAL } from "../../lib/server/boot.ts";
import { auditEnvironment, type CodeLocation, daemonEnvironment } from "../../lib/server/hardening.ts";
import { hasSeparateUsers, type Identity, serviceIdentity } from "../../lib/server/identity.ts";
import { type Endpoint, type Plan, Planner } from "../../lib/server/sandbox.ts";
import type { Service } from "../../lib/server/service.ts";
import { pipeIdentity } from "../../lib/server/local_command.ts";
import { findDecisionProblems } from "../../lib/server/check_configuration.ts";
import { findMilterProblems } from "../../lib/server/check_milters.ts";
import { findTableProblems } from "../../lib/server/check_tables.ts";
import { findFilterProblems } from "../../lib/server/filter_reach.ts";
import { findSaslProblems } from "../../lib/server/sasl_reach.ts";
import { findClientTlsProblems } from "../../lib/server/tls_client_files.ts";
import { findTlsProblems } from "../../lib/server/tls_files.ts";
import { systemFacts } from "../../lib/server/system_facts.ts";
// This program
import { COMMANDS, SERVICES } from "../services.ts";
import { type ChildOptions, MasterChild } from "./master_child.ts";
import { helperPath, MasterHelpers } from "./master_helpers.ts";
import { MasterService, samePlan, type ServiceHost } from "./master_service.ts";
import {
  bindEndpoint,
  bindHelperSocket,
  refuseShared,
  type SocketOwners,
  unusedInherited,
} from "./master_sockets.ts";

/** How often silence is looked for, milliseconds. */
const WATCH_INTERVAL = 5000;
/** Of the programs that local and pipe run. */
const PROGRAM_UMASK = 0o077;
/** What a stop waits for before it kills, milliseconds. */
const STOP_GRACE = 5000;
/** The least silence that means anything, seconds: a daemon that is well says so every HEARTBEAT_INTERVAL. */
const LEAST_SILENCE = 2 * HEARTBEAT_INTERVAL;
/** How much silence is too much, unless a daemon's declaration names a parameter of its own. */
const WATCHDOG = "daemon_watchdog_timeout";

/** The configuration cannot be used; nothing was started or changed. */
export class ConfigurationError extends Error {
  override name = "ConfigurationError";
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super("Cannot use configuration");
    this.problems = problems;
  }
}

/** Runs a mail system. */
export class Supervisor implements ServiceHost {
  #log: Logger;
  readonly #directory: string;
  readonly #code: CodeLocation;
  readonly #errors: "inherit" | number;
  readonly #services = new Map<string, MasterService>();
  readonly #helpers: MasterHelpers;
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #configuration: Configuration;
  #planner: Planner;
  #spawning: Promise<unknown> = Promise.resolve();
  /** Known to cleanup and qmgr; the same for all processes of this master. */
  readonly #queueKey = crypto.randomUUID();
  #stopping = false;
  #reloading: Promise<void> = Promise.resolve();
  /** Permissions that the sandbox refused at run time, by daemon. */
  readonly securityEvents = new Map<string, number>();

  /**
   * Reads the configuration; throws a `ConfigurationError` and starts nothing when it is wrong.
   *
   * @param log for what is said before the configuration is known
   * @param errors where the log goes: our own standard error, or a descriptor
   */
  constructor(directory: string, code: CodeLocation, errors: "inherit" | number, log: Logger) {
    this.#directory = directory;
    this.#code = code;
    this.#errors = errors;
    this.#log = log;
    this.#configuration = this.#load();
    this.#log = loggerFor(this.#configuration);
    this.#planner = this.#makePlanner(this.#configuration);
    this.#helpers = this.#makeHelpers();
  }

  #makeHelpers(): MasterHelpers {
    return new MasterHelpers({
      current: () => ({ log: this.#log, configuration: this.#configuration, planner: this.#planner }),
      services: this.#services,
      inTurn: (work) => this.#inTurn(work),
      spawn: (plan, descriptors, options) => this.#spawn(plan, descriptors, options),
      identityOf: (task) => this.#identity("recipient", task),
    });
  }

  /** The log, in the form that the configuration wants. */
  get log(): Logger {
    return this.#log;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get throttleTime(): number {
    return this.#configuration.settings.service_throttle_time;
  }

  get defaultProcessLimit(): number {
    return this.#configuration.settings.default_process_limit;
  }

  /** Every process that runs, by service. */
  processes(): { service: string; child: MasterChild }[] {
    const served = [...this.#services.values()].flatMap((service) =>
      [...service.children].map((child) => ({ service: service.name, child }))
    );
    return [...served, ...this.#helpers.running.map((child) => ({ service: child.service, child }))];
  }

  /**
   * Asks the rules what they decide, before a port is bound: throws a `ConfigurationError` when strangers could relay or
   * an expectation is not met.
   */
  async prove(configuration: Configuration = this.#configuration): Promise<void> {
    const problems = await findDecisionProblems(configuration, SERVICES);
    const errors = problems.filter((problem) => problem.severity === "error");
    if (errors.length > 0) throw new ConfigurationError(errors);
    for (const problem of problems) this.log.warning(describeProblem(problem));
  }

  /** Binds every socket, all or none, then starts what must run. */
  begin(): void {
    const plans = this.#planner.plans();
    checkIdentities(this.#configuration);
    const owner = this.#identity("postern");
    prepareQueue(this.#configuration.settings.queue_directory, owner, this.log);
    mendQueue(this.#configuration.settings, owner, this.log);
    const bound: MasterService[] = [];
    try {
      for (const plan of plans) bound.push(this.#bind(plan));
      refuseShared(bound);
    } catch (error) {
      for (const service of bound) {
        service.close();
        unlinkSockets(service);
      }
      throw error;
    }
    for (const service of bound) this.#services.set(service.name, service);
    for (const { host, port } of unusedInherited(bound)) {
      this.log.warning(
        `inherited socket on ${host} port ${port}: no service of master.toml has this address`,
      );
    }
    for (const service of bound) service.begin();
    this.#timers.push(setInterval(() => this.#watch(), WATCH_INTERVAL));
    this.#startWakeups();
  }

  /** Takes a new configuration; one that is wrong is reported and changes nothing. One after the other. */
  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    if (this.#stopping) return;
    let configuration: Configuration;
    try {
      configuration = this.#load();
      checkIdentities(configuration);
      this.#refuseMove(configuration);
      await this.prove(configuration);
    } catch (error) {
      const problems = error instanceof ConfigurationError
        ? error.problems.map(describeProblem)
        : [error instanceof Error ? error.message : String(error)];
      for (const problem of problems) this.log.warning(problem);
      this.log.warning("the new configuration is not used: the old one stays");
      return;
    }
    if (!this.#stopping) this.#replace(configuration);
  }

  /** The lock and what daemons have in hand are in the directory that we started with. */
  #refuseMove(configuration: Configuration): void {
    if (configuration.settings.queue_directory === this.#configuration.settings.queue_directory) return;
    throw new Error("Cannot change queue_directory: it takes a stop and a start");
  }

  #replace(configuration: Configuration): void {
    const planner = this.#makePlanner(configuration);
    const plans = new Map<string, Plan>();
    // Bind what is new before anything old is touched, so that a port in use leaves the system as it was.
    const fresh: MasterService[] = [];
    try {
      for (const plan of planner.plans()) plans.set(plan.entry.name, plan);
      // Ports first: one that is in use is found before the socket of a service that stays is replaced.
      for (const plan of [...plans.values()].sort((a, b) => portsFirst(a.endpoint, b.endpoint))) {
        const old = this.#services.get(plan.entry.name);
        if (old === undefined || !sameEndpoint(old.plan.endpoint, plan.endpoint)) {
          fresh.push(this.#bind(plan));
        }
      }
      refuseShared([...fresh, ...this.#kept(plans, fresh)]);
    } catch (error) {
      for (const service of fresh) service.close();
      this.log.warning(`${error instanceof Error ? error.message : error}: the old configuration stays`);
      return;
    }
    this.#configuration = configuration;
    this.#log = loggerFor(configuration);
    this.#helpers.reload();
    this.#planner = planner;
    const kept = new Set(this.#kept(plans, fresh));
    for (const [name, service] of [...this.#services]) {
      const plan = plans.get(name);
      if (plan !== undefined && kept.has(service)) {
        this.#logChanges(service.plan, plan);
        service.replan(plan);
      } else {
        this.#services.delete(name);
        service.close();
        unlinkSockets(service, plan);
      }
    }
    for (const service of fresh) {
      this.#services.set(service.name, service);
      service.begin();
    }
    for (const timer of this.#timers.splice(1)) clearInterval(timer);
    this.#startWakeups();
    this.log.info(`reload -- configuration ${this.#directory}`);
  }

  /** The services that a new configuration has as well, on the same sockets. */
  #kept(plans: ReadonlyMap<string, Plan>, fresh: readonly MasterService[]): MasterService[] {
    const replaced = new Set(fresh.map((service) => service.name));
    return [...this.#services.values()].filter(({ name }) => plans.has(name) && !replaced.has(name));
  }

  /** Ends everything: no child survives. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const service of this.#services.values()) service.stop();
    await this.#spawning;
    await this.#release((child) => !child.endsLast);
    await this.#release(() => true);
    for (let wait = 0; this.processes().length > 0 && wait < 100; wait++) await pause(20);
    for (const service of this.#services.values()) {
      service.close();
      unlinkSockets(service);
    }
  }

  /** Tells some of the children to end, and kills those that do not. */
  async #release(chosen: (child: MasterChild) => boolean): Promise<void> {
    const left = () => this.processes().filter(({ child }) => chosen(child));
    for (const { child } of left()) child.release();
    const deadline = performance.now() + STOP_GRACE;
    while (left().length > 0 && performance.now() < deadline) await pause(20);
    for (const { child } of left()) child.kill("it did not end when it was told to");
  }

  /** Starts a child. */
  start(plan: Plan, descriptors: readonly number[], options: ChildOptions): Promise<MasterChild> {
    return this.#inTurn(() => this.#spawn(plan, descriptors, options));
  }

  /** One piece of work at a time: a descriptor that is opened for one must not be mistaken for another's. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const made = this.#spawning.then(work);
    this.#spawning = made.catch(() => {});
    return made;
  }

  async #spawn(plan: Plan, descriptors: readonly number[], options: ChildOptions): Promise<MasterChild> {
    if (this.#stopping) throw new Error("Cannot start process: the mail system is stopping");
    const identity = this.#identity(plan.service.runAs, plan.boot.helper);
    const child = await startProcess({
      program: this.#code.runtime,
      args: plan.args,
      environment: { ...daemonEnvironment(this.#code), ...auditEnvironment(plan.service.command) },
      descriptors,
      errors: this.#errors,
      // What programs make is for their users alone, as under Postfix; the runtime lets no sandbox set it.
      ...(plan.boot.helper?.kind === "program" ? { umask: PROGRAM_UMASK } : {}),
      ...(identity === undefined ? {} : { identity }),
    });
    child.write(JSON.stringify(plan.boot) + "\n");
    const made = new MasterChild(plan.service, child, {
      log: this.log,
      security: (from, text) => this.#security(from, text),
      startHelper: (from, request) => this.#helpers.start(from, request),
      names: (from, items) => this.#helpers.takeNames(from, items),
      killGroup: (from, leader) => this.#helpers.killGroup(from, leader),
    }, options);
    const { helper } = plan.boot;
    if (plan.service.runsProgram && helper !== undefined) this.#helpers.startsProgram(made, helper);
    return made;
  }

  #load(): Configuration {
    const { configuration, problems: found } = loadConfiguration(this.#directory, systemFacts(), {
      readText: (path) => readTextFile(path, 4 * 1024 * 1024),
      commands: COMMANDS,
    });
    const problems = [
      ...found,
      ...(configuration === undefined ? [] : [
        ...findTableProblems(configuration),
        ...findMilterProblems(configuration),
        ...findFilterProblems(configuration, SERVICES),
        ...findTlsProblems(configuration, SERVICES),
        ...findSaslProblems(configuration, SERVICES),
        ...findClientTlsProblems(configuration, SERVICES),
      ]),
    ];
    const errors = problems.filter((problem) => problem.severity === "error");
    if (configuration === undefined || errors.length > 0) throw new ConfigurationError(errors);
    for (const problem of problems) this.log.warning(describeProblem(problem));
    return configuration;
  }

  #makePlanner(configuration: Configuration): Planner {
    return new Planner(configuration, SERVICES, this.#code, systemFacts(), this.#queueKey);
  }

  #bind(plan: Plan): MasterService {
    const listeners = bindEndpoint(plan.endpoint, this.#owners());
    let helpers: BoundListener | undefined;
    if (plan.service.startsHelpers && plan.endpoint.kind === "unix") {
      helpers = bindHelperSocket(helperPath(plan.endpoint.path), this.#owners());
    }
    return new MasterService(plan, listeners, helpers, this);
  }

  #owners(): SocketOwners | undefined {
    const [mail, net] = [this.#identity("postern"), this.#identity("postern-net")];
    return mail === undefined || net === undefined ? undefined : { mail, net };
  }

  #identity(runAs: Service["runAs"], task?: Identity): Identity | undefined {
    return serviceIdentity(this.#configuration, runAs, task);
  }

  #security(child: MasterChild, text: string): void {
    const count = (this.securityEvents.get(child.service) ?? 0) + 1;
    this.securityEvents.set(child.service, count);
    this.log.warning(`security event ${count} of ${child.service} pid ${child.pid}: ${text}`);
  }

  #watch(): void {
    for (const { plan, children } of this.#services.values()) {
      const { watchdog = WATCHDOG } = plan.service;
      const limit = Number(settingsFor(this.#configuration, plan.entry, [watchdog])[watchdog]);
      for (const child of children) killSilent(child, limit);
    }
    const limit = this.#configuration.settings[WATCHDOG];
    for (const child of this.#helpers.running) killSilent(child, limit);
  }

  #startWakeups(): void {
    for (const service of this.#services.values()) {
      const seconds = service.plan.entry.wakeup;
      if (seconds === undefined || seconds === 0) continue;
      this.#timers.push(setInterval(() => service.wakeup(), seconds * 1000));
      service.wakeup(); // the first one at once, as Postfix
    }
  }

  #logChanges(old: Plan, plan: Plan): void {
    if (samePlan(old, plan)) return;
    const before = new Set(old.grants.map((grant) => `${grant.kind} ${grant.object}`));
    const after = new Set(plan.grants.map((grant) => `${grant.kind} ${grant.object}`));
    for (const grant of plan.grants) {
      const key = `${grant.kind} ${grant.object}`;
      if (!before.has(key)) this.log.info(`sandbox of ${plan.entry.name}: added ${key} (${grant.because})`);
    }
    for (const key of before) {
      if (!after.has(key)) this.log.info(`sandbox of ${plan.entry.name}: removed ${key}`);
    }
  }
}

/** Kills a process that has given no sign of life for so many seconds. */
function killSilent(child: MasterChild, seconds: number): void {
  const limit = Math.max(LEAST_SILENCE, seconds);
  if (performance.now() - child.lastAlive > limit * 1000) child.kill(`it was silent for ${limit} seconds`);
}

/** Throws when the users that the configuration names cannot be used. */
function checkIdentities(configuration: Configuration): void {
  const { mail_owner, net_owner } = configuration.settings;
  if (!hasSeparateUsers(configuration)) return;
  for (const { name, pipe } of configuration.services) {
    const identity = pipe === undefined ? undefined : pipeIdentity(configuration, pipe);
    if (typeof identity === "string") throw new Error(`Cannot start service "${name}": ${identity}`);
  }
  for (const name of [mail_owner, net_owner]) {
    const user = findUser(name);
    if (user === undefined) {
      throw new Error(`Cannot start: there is no user "${name}" (mail_owner, net_owner)`);
    }
    if (user.uid === 0) throw new Error(`Cannot start: user "${name}" is root`);
  }
}

/** Removes the sockets of a service that is closed, except where its successor has bound its own. */
function unlinkSockets({ plan, helperListener }: MasterService, successor?: Plan): void {
  if (plan.endpoint.kind !== "unix") return;
  const { path } = plan.endpoint;
  if (successor?.endpoint.kind === "unix" && successor.endpoint.path === path) return;
  removeFile(path);
  if (helperListener !== undefined) removeFile(helperPath(path));
}

function portsFirst(a: Endpoint, b: Endpoint): number {
  return Number(a.kind === "unix") - Number(b.kind === "unix");
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Master's own log, by the parameters that shape its daemons' logs. */
function loggerFor({ settings }: Configuration): Logger {
  return makeLogger({
    program: "master",
    syslogName: settings.syslog_name,
    hostName: systemFacts().hostName,
    format: settings.log_format === "json" ? "json" : "postfix",
  });
}
