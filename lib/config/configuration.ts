/**
 * The whole configuration: read, checked, frozen.
 *
 * @module
 */
import { normalize } from "../safe/path.ts";
import type { SystemFacts } from "./defaults.ts";
import { type ListFile, ListFiles } from "./list_files.ts";
import { readMainFile } from "./main_file.ts";
import { readMasterFile, type ServiceEntry } from "./master_file.ts";
import { checkRestrictionList, checkRewriteClients, RESTRICTION_PARAMETERS } from "./check_restrictions.ts";
import { didYouMean } from "./nearest.ts";
import { findParameter, PARAMETER_NAMES, type ParameterName, type Settings } from "./parameters.ts";
import { errorAt, formatProblem, type Place, type Problem, warningAt } from "./problem.ts";
import { ParameterError, Scope, type ScopeSource, type Setting } from "./scope.ts";
import { readTomlFile } from "./toml_file.ts";
import { splitClasses } from "./restriction_classes.ts";
import { TRANSPORT_PARAMETERS } from "./transport.ts";
import type { AnyValue } from "./values.ts";

export type { Problem, ServiceEntry };

/** What main.toml and master.toml say. */
export class Configuration {
  /** The directory that they are in. */
  readonly directory: string;
  /** Every parameter outside services' overrides. */
  readonly settings: Settings<ParameterName>;
  /** The services of master.toml that master_service_disable leaves on. */
  readonly services: readonly ServiceEntry[];
  /** Names of the parameters that main.toml sets, those of transports included, in its order. */
  readonly explicit: readonly string[];
  /** Names of the variables of [variables]. */
  readonly variables: readonly string[];
  /** Files that lists take items from. */
  readonly listFiles: readonly ListFile[];
  /** Texts and values outside services' overrides. */
  readonly scope: Scope;
  readonly #source: ScopeSource;

  /**
   * @param source the first layer is main.toml's parameters, the second its variables
   * @throws ParameterError when a parameter has no value; the loader has seen to it that each has
   */
  constructor(source: ScopeSource, services: readonly ServiceEntry[]) {
    this.directory = source.directory;
    this.explicit = [...source.layers[0]?.keys() ?? []];
    this.variables = [...source.layers[1]?.keys() ?? []];
    this.#source = source;
    this.scope = new Scope(source);
    this.settings = collect(this.scope, PARAMETER_NAMES) as Settings<ParameterName>;
    const off = this.settings.master_service_disable;
    this.services = services.filter((entry) => !isDisabled(entry, off));
    this.listFiles = source.listFiles.files;
  }

  /** Where main.toml sets a parameter or variable, or undefined. */
  place(name: string): Place | undefined {
    return this.scope.setting(name);
  }

  /** Where a parameter's value comes from: "FILE:LINE" or "default". */
  origin(name: string): string {
    return this.scope.origin(name);
  }

  /** The text of a parameter or variable before expansion, as main.cf would have it. */
  text(name: string): string {
    return this.scope.text(name);
  }

  /** The defaults alone, as if main.toml set nothing. */
  defaults(): Scope {
    return new Scope({ ...this.#source, layers: [] });
  }

  /** The values as they would be with other settings before all else. */
  overridden(settings: ReadonlyMap<string, Setting>): Scope {
    return new Scope({ ...this.#source, layers: [settings, ...this.#source.layers] });
  }

  /** The text of a parameter or variable with every `$name` replaced. */
  expanded(name: string): string {
    return this.scope.expanded(name);
  }

  /** True for a parameter or variable that this configuration knows. */
  knows(name: string): boolean {
    return findParameter(name) !== undefined || this.scope.setting(name) !== undefined;
  }

  /** The values as a service sees them. */
  scopeOf(entry: ServiceEntry): Scope {
    return serviceScope(this.#source, entry);
  }
}

/** True when the first item that fits, "type" or "name.type", is not negated by "!". */
function isDisabled(entry: ServiceEntry, items: readonly string[]): boolean {
  for (const item of items) {
    const pattern = item.startsWith("!") ? item.slice(1) : item;
    if (pattern === entry.type || pattern === `${entry.name}.${entry.type}`) return pattern === item;
  }
  return false;
}

/** The scope of a service: its overrides and names before all else. */
export function serviceScope(source: ScopeSource, entry: ServiceEntry): Scope {
  const names = new Map(
    [...source.names, ["service_name", entry.name], ["process_name", entry.command]] as const,
  );
  return new Scope({ ...source, names, layers: [entry.parameters, ...source.layers] });
}

/**
 * The settings that a service's process is told: those that it declares, with the service's overrides. Where a
 * parameter for all transports is among them, the transports' own are added under their names; read them with
 * `transportParameter`.
 *
 * @param names the `parameters` of its service.ts
 */
export function settingsFor<K extends ParameterName>(
  configuration: Configuration,
  entry: ServiceEntry,
  names: readonly K[],
): Settings<K> {
  const scope = configuration.scopeOf(entry);
  const wanted = new Set<string>(names);
  const all = new Set<string>(names);
  for (const [suffix, base] of Object.entries(TRANSPORT_PARAMETERS)) {
    if (!wanted.has(base)) continue;
    for (const service of configuration.services) {
      const name = `${service.name}_${suffix}`;
      if (service.type === "unix" && isOwn(scope, name)) all.add(name);
    }
  }
  const settings = collect(scope, all) as Settings<K>;
  return entry.command === "proxymap" ? withAllRules(configuration, settings) : settings;
}

/** proxymap looks into the tables of every smtpd's rules, also of those that master.toml gives to one alone. */
export function withAllRules<S extends object>(configuration: Configuration, settings: S): S {
  const servers = configuration.services.filter(({ command }) => command === "smtpd");
  const lists = [...RESTRICTION_PARAMETERS, "smtpd_restriction_classes"].filter((name) => name in settings);
  const all = lists.map((name) => {
    const values = [configuration.scope, ...servers.map((server) => configuration.scopeOf(server))]
      .map((scope) => scope.value(name) as readonly string[]);
    const distinct = new Map(values.map((value) => [value.join("\n"), value]));
    return [name, Object.freeze([...distinct.values()].flat())];
  });
  return Object.freeze({ ...settings, ...Object.fromEntries(all) });
}

/** True when a transport's parameter is set, or has a default of its own. */
function isOwn(scope: Scope, name: string): boolean {
  return scope.setting(name) !== undefined || findParameter(name) !== undefined;
}

function collect(scope: Scope, names: Iterable<string>): Readonly<Record<string, AnyValue>> {
  const out: Record<string, AnyValue> = {};
  for (const name of names) out[name] = scope.value(name);
  return Object.freeze(out);
}

/** Names of the two files. */
export const MAIN_FILE = "main.toml";
export const MASTER_FILE = "master.toml";

/** What loading needs from outside. */
export interface LoadOptions {
  /** The text of a file, bounded; throws an Error that says what is wrong. */
  readonly readText: (path: string) => string;
  /** Names of the daemons there are. */
  readonly commands: readonly string[];
}

/** The configuration if nothing is wrong with it, and all that was found. */
export interface Loaded {
  readonly configuration?: Configuration;
  readonly problems: readonly Problem[];
}

/**
 * Reads main.toml and master.toml and checks all of it; every problem is reported, not the first one only.
 *
 * @param directory absolute path of the configuration directory
 * @param facts the system's name and addresses, for defaults
 */
export function loadConfiguration(directory: string, facts: SystemFacts, options: LoadOptions): Loaded {
  const problems: Problem[] = [];
  const master = readTomlFile(`${directory}/${MASTER_FILE}`, options.readText, problems);
  const main = readTomlFile(`${directory}/${MAIN_FILE}`, options.readText, problems);
  const services = master === undefined ? [] : readMasterFile(master, options.commands, problems);
  if (main === undefined || master === undefined) return { problems };
  const transports = new Set(services.filter((entry) => entry.type === "unix").map((entry) => entry.name));
  const { parameters, variables } = readMainFile(main, transports, problems);
  const source: ScopeSource = {
    directory,
    facts,
    layers: [parameters, variables],
    names: new Map([["service_name", ""], ["process_name", ""]]),
    listFiles: new ListFiles(options.readText),
  };
  checkValues(new Scope(source), source, { file: main.path, line: 0 }, problems);
  checkServices(source, services, problems);
  if (hasError(problems)) return { problems };
  const configuration = new Configuration(source, services);
  checkTransports(configuration, transports, problems);
  checkRestrictions(configuration, problems);
  checkRelaying(configuration, problems);
  checkQueueDirectory(configuration, main.path, problems);
  return hasError(problems) ? { problems } : { configuration, problems };
}

/** Works out every parameter and variable once; what fails is reported where it is set. */
function checkValues(scope: Scope, source: ScopeSource, file: Place, problems: Problem[]): void {
  const found: Problem[] = [];
  for (const name of source.layers.flatMap((layer) => [...layer.keys()])) {
    checkValue(scope, name, source.layers.at(-1)!.has(name), file, found);
  }
  // A default that leans on something faulty is faulty itself: said only if nothing else is.
  for (const name of found.length > 0 ? [] : PARAMETER_NAMES) checkValue(scope, name, false, file, found);
  problems.push(...found);
}

function checkValue(scope: Scope, name: string, isVariable: boolean, file: Place, problems: Problem[]): void {
  try {
    if (isVariable) scope.expanded(name);
    else scope.value(name);
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error;
    const culprit = scope.setting(error.culprit);
    // What a faulty parameter makes faulty in turn is not said again: the faulty one has its own message.
    if (error.culprit !== name && culprit !== undefined) return;
    problems.push(errorAt(scope.setting(name) ?? file, `"${name}": ${error.message}`, error.cure));
  }
}

/** Works out the parameters again for each service that overrides some. */
function checkServices(source: ScopeSource, services: readonly ServiceEntry[], problems: Problem[]): void {
  const mainIsGood = !hasError(problems);
  for (const entry of services) {
    if (entry.parameters.size === 0) continue;
    const scope = serviceScope(source, entry);
    const found: Problem[] = [];
    for (const name of entry.parameters.keys()) checkValue(scope, name, false, entry.place, found);
    problems.push(...found);
    if (found.length > 0 || !mainIsGood) continue;
    // What is good by itself may fail together with an override; the service is where that is mended.
    const others: Problem[] = [];
    const explicit = source.layers[0]?.keys() ?? [];
    for (const name of new Set([...explicit, ...PARAMETER_NAMES])) {
      checkValue(scope, name, false, entry.place, others);
    }
    problems.push(
      ...others.map((problem) => errorAt(entry.place, `service "${entry.name}": ${problem.text}`)),
    );
  }
}

function hasError(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === "error");
}

/** Parameters that name a transport, `transport` or `transport:nexthop`. */
const TRANSPORT_NAMES = [
  "best_mx_transport",
  "default_transport",
  "fallback_transport",
  "local_transport",
  "mailbox_transport",
  "relay_transport",
  "virtual_transport",
] as const;

/** Warns of a transport that main.toml names and master.toml does not have: its mail would wait. */
function checkTransports(
  configuration: Configuration,
  transports: ReadonlySet<string>,
  problems: Problem[],
): void {
  for (const name of TRANSPORT_NAMES) {
    const [transport = ""] = configuration.settings[name].split(":");
    const place = configuration.place(name);
    if (transport === "" || place === undefined || transports.has(transport)) continue;
    const text = `"${name}": ${MASTER_FILE} has no service "${transport}", its mail will wait`;
    problems.push(warningAt(place, text, didYouMean(transport, transports)));
  }
}

/** Below these Deno opens nothing without all permissions, whatever paths the flags name. */
const SPECIAL_DIRECTORIES: readonly string[] = ["/dev", "/proc", "/sys"];

/** Refuses a queue that no daemon could use. */
function checkQueueDirectory(configuration: Configuration, file: string, problems: Problem[]): void {
  const path = normalize(configuration.settings.queue_directory);
  const special = SPECIAL_DIRECTORIES.find((one) => path === one || path.startsWith(`${one}/`));
  if (special === undefined) return;
  const place = configuration.place("queue_directory") ?? { file, line: 0 };
  const text =
    `"queue_directory": no daemon may use "${path}", as Deno keeps ${special} for programs with all permissions`;
  problems.push(
    errorAt(place, text, "use a directory on an ordinary file system; tmpfs may be mounted anywhere"),
  );
}

/** Rules one of which must be in a list of smtpd, or strangers may send anywhere (Postfix demands the same). */
const REFUSALS: readonly string[] = [
  "defer",
  "defer_if_permit",
  "defer_unauth_destination",
  "reject",
  "reject_unauth_destination",
];

/** Looks for words in smtpd's lists that it would not understand. */
function checkRestrictions(configuration: Configuration, problems: Problem[]): void {
  const seen = new Set<string>();
  for (const entry of configuration.services) {
    if (entry.command !== "smtpd") continue;
    const scope = configuration.scopeOf(entry);
    const clients = "local_header_rewrite_clients";
    const classes = splitClasses(scope.value("smtpd_restriction_classes") as readonly string[]);
    const names = new Set(classes.keys());
    const placeOf = (name: string) => scope.setting(name) ?? entry.place;
    const lists = [
      ...RESTRICTION_PARAMETERS.map((name) =>
        checkRestrictionList(name, scope.value(name) as readonly string[], placeOf(name), names)
      ),
      ...[...classes].map(([name, words]) => checkRestrictionList(name, words, placeOf(name), names)),
      checkRewriteClients(scope.value(clients) as readonly string[], scope.setting(clients) ?? entry.place),
    ];
    for (const list of lists) {
      for (const problem of list) {
        // Several services may share the faulty line.
        const text = formatProblem(problem);
        if (!seen.has(text)) problems.push(problem);
        seen.add(text);
      }
    }
  }
}

/** Refuses an smtpd whose rules for recipients turn nobody away: an open relay. */
function checkRelaying(configuration: Configuration, problems: Problem[]): void {
  for (const entry of configuration.services) {
    if (entry.command !== "smtpd") continue;
    const scope = configuration.scopeOf(entry);
    const rules = ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"].flatMap((name) =>
      scope.value(name) as readonly string[]
    );
    if (rules.some((rule) => REFUSALS.includes(rule)) || scope.value("smtpd_open_relay") === true) continue;
    const place = scope.setting("smtpd_relay_restrictions") ?? entry.place;
    const text = `service "${entry.name}" would relay for anybody: neither smtpd_relay_restrictions nor ` +
      "smtpd_recipient_restrictions refuses strangers";
    problems.push(errorAt(place, text, 'add "reject_unauth_destination"'));
  }
}
