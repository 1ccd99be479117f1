/**
 * From a daemon's declaration and the configuration to the exact flags that it is started with. Master starts
 * daemons with what this computes; `postern sandbox` prints it; the tests probe it. There is no other place.
 *
 * @module
 */
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { RULE_PARAMETERS } from "../config/check_restrictions.ts";
import type { ParameterName } from "../config/parameters.ts";
import { formatPlace } from "../config/problem.ts";
import { namesOtherTables } from "../table/own_table.ts";
import { targetText } from "../table/server_target.ts";
import { asksServer, tableFiles, tableSpecs, tableTargets } from "../table/table_files.ts";
import type { AnyHelperTask, Boot } from "./boot.ts";
import { type CodeLocation, hardeningFlags } from "./hardening.ts";
import { filterGrants, filterMay } from "./filter_reach.ts";
import { filterNames, milterGrants } from "./milter_reach.ts";
import { httpsReach } from "./https_reach.ts";
import { policyGrants } from "./policy_reach.ts";
import { programTask } from "./program_task.ts";
import { proxyGrants } from "./proxy_reach.ts";
import { type SmtpReach, smtpReach } from "./smtp_reach.ts";
import { clientTlsMaterial } from "./tls_client_files.ts";
import type { Service } from "./service.ts";
import { saslReach } from "./sasl_reach.ts";
import { serverTlsMaterial } from "./tls_files.ts";

/** One thing that a daemon may touch, and what caused it. */
export interface Grant {
  readonly kind: "read" | "write" | "net" | "run" | "sys";
  readonly object: string;
  readonly because: string;
}

/** A refusal that takes precedence over the grants. */
export interface Denial {
  readonly kind: "net";
  readonly object: string;
  readonly because: string;
}

/** How one entry of master.toml is started. */
export interface Plan {
  readonly entry: ServiceEntry;
  readonly service: Service;
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
  /** Arguments of the runtime, entry point included. */
  readonly args: readonly string[];
  /** Path of the socket that it serves, or address and port. */
  readonly endpoint: Endpoint;
  /**
   * Of a service that starts when it is asked: the directories that it writes, absolute paths; it does not wait where one
   * of them has something. Undefined: it is there from the start, or as its `endsWhenIdle` says.
   */
  readonly kept?: readonly string[] | undefined;
  readonly boot: Boot;
}

/** Where a service listens. */
export type Endpoint =
  | {
    readonly kind: "unix";
    readonly path: string;
    readonly mode: number;
    /** A daemon of the network's user connects to it as well. */
    readonly forNet: boolean;
  }
  | { readonly kind: "inet"; readonly hosts: readonly string[]; readonly port: number };

/** What the machine says, beside the configuration. */
export interface SystemFacts {
  readonly hostName: string;
  /** Address and port of the resolver. */
  readonly resolver: string;
  /** The machine has IPv6. */
  readonly ipv6: boolean;
  /** Another one each time that the system is started. */
  readonly bootId: string;
}

/** Makes the plans of one configuration. */
export class Planner {
  readonly #configuration: Configuration;
  readonly #services: ReadonlyMap<string, Service>;
  readonly #code: CodeLocation;
  readonly #facts: SystemFacts;
  readonly #queueKey: string;

  /** @param queueKey what cleanup proves itself to qmgr with; nobody else is told. Without it nothing can be started */
  constructor(
    configuration: Configuration,
    services: ReadonlyMap<string, Service>,
    code: CodeLocation,
    facts: SystemFacts,
    queueKey = "",
  ) {
    this.#configuration = configuration;
    this.#services = services;
    this.#code = code;
    this.#facts = facts;
    this.#queueKey = queueKey;
  }

  /** The plan of every entry of master.toml. */
  plans(): Plan[] {
    return this.#configuration.services.map((entry) => this.plan(entry));
  }

  plan(entry: ServiceEntry): Plan {
    const service = this.#services.get(entry.command)!;
    const settings = this.#settings(entry, service);
    const sockets = this.#sockets(service, entry);
    const writes = this.#pathGrants("write", service.writes, entry, service);
    const grants = [
      ...this.#pathGrants("read", service.reads, entry, service),
      ...writes,
      ...socketGrants(sockets, service),
      ...service.runs.map((program): Grant => ({
        kind: "run",
        object: program,
        because: "service.ts: runs",
      })),
      ...(service.sys ?? []).map((name): Grant => ({
        kind: "sys",
        object: name,
        because: "service.ts: sys",
      })),
    ];
    const helper = service.runsProgram ? programTask(this.#configuration, entry) : undefined;
    if (helper !== undefined) grants.push(...this.#taskGrants(entry, helper));
    const reach = this.#reach(service, settings, entry);
    grants.push(...reach.grants, ...milterGrants(this.#configuration, entry, service.milters ?? []));
    grants.push(...filterGrants(this.#configuration, entry, service));
    if (service.asksProxyFilter) grants.push(...proxyGrants(this.#configuration, entry, settings));
    if (service.asksPolicyServers) grants.push(...policyGrants(this.#configuration, entry));
    if (service.asksSasl) grants.push(...saslReach(this.#configuration, entry, settings));
    return {
      entry,
      service,
      grants,
      denials: reach.denials,
      args: this.args(entry, service, grants, reach.denials),
      endpoint: this.endpoint(entry),
      kept: service.startsWhenAsked && !this.#isWanted(entry)
        ? writes.map(({ object }) => object)
        : undefined,
      boot: {
        ...this.#boot(entry, service, settings, sockets),
        ...(helper === undefined ? {} : { helper }),
      },
    };
  }

  /** The plan of a helper: the one program whose task is not in the configuration but in a daemon's request. */
  helperPlan(command: string, entry: ServiceEntry, task: NonNullable<Boot["helper"]>): Plan {
    const service = this.#services.get(command)!;
    const grants = this.#taskGrants(entry, task);
    const helperEntry: ServiceEntry = { ...entry, name: command, command };
    const boot = this.#boot(helperEntry, service, this.#settings(helperEntry, service), new Map());
    return {
      entry: helperEntry,
      service,
      grants,
      denials: [],
      args: this.args(helperEntry, service, grants, []),
      endpoint: this.endpoint(entry),
      boot: { ...boot, helper: task },
    };
  }

  /** What a helper's task takes. */
  #taskGrants(entry: ServiceEntry, task: AnyHelperTask): Grant[] {
    const because = this.#whatFor(entry, task);
    const grant = (kind: Grant["kind"]) => (object: string): Grant => ({ kind, object, because });
    switch (task.kind) {
      case "program":
        return [grant("run")(task.program)];
      case "files":
        return [...task.files, ...(task.home === "" ? [] : [task.home])].map(grant("read"));
      case "mailbox":
      case "mailboxes": {
        const isMbox = task.kind === "mailbox" && task.format === "mbox";
        const paths = isMbox ? [task.path, `${task.path}.lock`] : [task.path];
        const files = task.kind === "mailbox" ? task.files ?? [] : [];
        return [...paths, ...files].map(grant("read")).concat(paths.map(grant("write")));
      }
      default:
        return task satisfies never;
    }
  }

  #whatFor(entry: ServiceEntry, task: AnyHelperTask): string {
    const asked = `asked for by ${entry.name}`;
    switch (task.kind) {
      case "mailboxes":
        return `mailboxes of uid ${task.uid}, ${asked}: virtual_mailbox_shared_helper (${
          this.#origin("virtual_mailbox_shared_helper")
        })`;
      case "mailbox":
        return task.user === "" ? `file for uid ${task.uid}, ${asked}` : `mailbox of ${task.user}, ${asked}`;
      case "files":
        return `files to read for uid ${task.uid}, ${asked}`;
      case "program":
        return entry.command === "spawn"
          ? `argv= of service ${entry.name}`
          : `program for uid ${task.uid}, ${asked}`;
      default:
        return task satisfies never;
    }
  }

  /** The runtime's arguments for a set of grants. */
  args(
    entry: ServiceEntry,
    service: Service,
    grants: readonly Grant[],
    denials: readonly Denial[],
    program?: string,
  ): string[] {
    const flags = ["read", "write", "net", "run", "sys"].flatMap((kind) => {
      const objects = [
        ...new Set(grants.filter((grant) => grant.kind === kind).map((grant) => flagObject(grant.object))),
      ];
      return objects.length === 0 ? [] : [`--allow-${kind}=${objects.join(",")}`];
    });
    const refused = denials.map((denial) => denial.object);
    if (refused.length > 0) flags.push(`--deny-net=${refused.join(",")}`);
    return [
      "run",
      ...hardeningFlags(
        this.#code,
        service.npm === true,
        this.#heapLimit(entry),
        service.skeleton === "helper" ? "helper" : undefined,
      ),
      // The packages that speak with databases ask for variables, which are not there for them; they need no grant.
      ...(service.inet === "tables" ? ["--ignore-env"] : []),
      ...flags,
      program ?? this.#code.entry(service.command),
    ];
  }

  #heapLimit(entry: ServiceEntry): number {
    const { daemon_heap_limit: limit } = settingsFor(this.#configuration, entry, ["daemon_heap_limit"]);
    const service = this.#services.get(entry.command);
    const declared = service === undefined ? undefined : filterMay(this.#configuration, entry, service);
    return declared === undefined ? limit : Math.min(limit, declared.memory);
  }

  endpoint(entry: ServiceEntry): Endpoint {
    if (entry.type === "unix") {
      // Private sockets are for the mail system; public ones also for whoever posts and asks.
      return {
        kind: "unix",
        path: this.#socketPath(entry),
        mode: entry.private ? 0o600 : 0o666,
        forNet: this.#configuration.services.some((other) => this.#isNetClient(other, entry)),
      };
    }
    const { host, port } = entry.listen!;
    return { kind: "inet", hosts: host === undefined ? this.#interfaces() : [unbracket(host)], port };
  }

  #socketPath({ private: isPrivate, name }: ServiceEntry): string {
    return `${this.#configuration.settings.queue_directory}/${isPrivate ? "private" : "public"}/${name}`;
  }

  /** A daemon that runs as the network's user connects to the service. */
  #isNetClient(client: ServiceEntry, entry: ServiceEntry): boolean {
    const { runAs, connects, connectsFor, milters = [], asksPolicyServers, asksProxyFilter } = this.#services
      .get(client.command)!;
    if (runAs !== "postern-net") return false;
    const others = [...Object.keys(connectsFor ?? {}), ...filterNames(this.#configuration, client, milters)];
    if (this.#connectsTo([...connects, ...others], entry)) return true;
    // Servers that are no daemons of ours, or speak as such: they are named by their sockets.
    if (this.#services.get(entry.command)!.skeleton !== "stream") return false;
    const path = `unix:${this.#socketPath(entry)}`;
    const grants = [
      ...(asksPolicyServers ? policyGrants(this.#configuration, client) : []),
      ...(asksProxyFilter ? proxyGrants(this.#configuration, client, {}) : []),
    ];
    return grants.some(({ object }) => object === path);
  }

  /** The addresses that inet_interfaces stands for. */
  #interfaces(): string[] {
    return this.#configuration.settings.inet_interfaces.flatMap((item) => {
      if (item === "all") return this.#facts.ipv6 ? ["::"] : ["0.0.0.0"]; // "::" takes IPv4 clients as well
      if (item === "loopback-only") return this.#facts.ipv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
      return [unbracket(item)];
    });
  }

  #settings(entry: ServiceEntry, service: Service): Record<string, unknown> {
    return { ...settingsFor(this.#configuration, entry, service.parameters) };
  }

  /** Sockets that the service connects to, `$transports` spelled out. */
  #sockets(service: Service, own: ServiceEntry): Map<string, string> {
    const sockets = new Map<string, string>();
    const asked = service.reads.some((item) => this.#tables(item, own)?.items.some(asksServer));
    const connects = asked ? [...service.connects, service.serverTablesBy ?? ""] : [...service.connects];
    connects.push(...filterNames(this.#configuration, own, service.milters ?? []));
    connects.push(...this.#connectsFor(service, own));
    for (const entry of this.#configuration.services) {
      const endpoint = this.endpoint(entry);
      if (this.#connectsTo(connects, entry) && endpoint.kind === "unix") {
        sockets.set(entry.name, endpoint.path);
      }
    }
    return sockets;
  }

  /** True where some service connects to this one because a parameter is set. */
  #isWanted(entry: ServiceEntry): boolean {
    return this.#configuration.services.some((other) =>
      this.#connectsFor(this.#services.get(other.command)!, other).includes(entry.name)
    );
  }

  /** The services that one connects to because a parameter is set. */
  #connectsFor(service: Service, own: ServiceEntry): string[] {
    return Object.entries(service.connectsFor ?? {})
      .filter(([, parameters]) => parameters.some((one) => this.#isSet(one, own)))
      .map(([name]) => this.#serviceName(name, own));
  }

  /** The service that a declaration names; `$parameter` stands for the transport that the parameter names. */
  #serviceName(name: string, entry: ServiceEntry): string {
    if (!name.startsWith("$") || name === "$transports") return name;
    const parameter = name.slice(1) as ParameterName;
    return String(settingsFor(this.#configuration, entry, [parameter])[parameter]).split(":")[0]!;
  }

  /** @param condition a parameter's name; "name=word" for a list that has the word, "name:tables" for one with tables */
  #isSet(condition: string, entry: ServiceEntry): boolean {
    const [name, word] = condition.split(/[=:]/) as [ParameterName, string?];
    const value: unknown = settingsFor(this.#configuration, entry, [name])[name];
    if (condition.includes(":")) return namesOtherTables(value as readonly string[]);
    return word === undefined ? isSet(value) : Array.isArray(value) && value.includes(word);
  }

  #connectsTo(connects: readonly string[], entry: ServiceEntry): boolean {
    return connects.includes(entry.name) || (connects.includes("$transports") && this.#delivers(entry));
  }

  #delivers(entry: ServiceEntry): boolean {
    return this.#services.get(entry.command)?.serves === "delivery";
  }

  #boot(
    entry: ServiceEntry,
    service: Service,
    settings: Record<string, unknown>,
    sockets: ReadonlyMap<string, string>,
  ): Boot {
    const { settings: all } = this.#configuration;
    // Private keys are read for processes that are started, not for whoever asks what they may touch.
    const tls = service.terminatesTls && this.#queueKey !== ""
      ? serverTlsMaterial(this.#configuration, entry)
      : undefined;
    return {
      service: entry.name,
      settings,
      ...this.#stressed(entry, service),
      ...(entry.pass ? { passed: true } : {}),
      sockets: Object.fromEntries(sockets),
      listeners: listenerCount(this.endpoint(entry)),
      transports: this.#configuration.services.filter((other) => this.#delivers(other)).map((other) =>
        other.name
      ),
      log: {
        syslogName: all.syslog_name,
        hostName: this.#facts.hostName,
        format: all.log_format as "postfix" | "json",
        debug: false,
      },
      maxUse: entry.maxUse ?? all.max_use,
      maxIdle: entry.maxIdle ?? all.max_idle,
      bootId: this.#facts.bootId,
      ...(service.command === "pipe" && entry.pipe !== undefined ? { pipe: entry.pipe } : {}),
      ...this.#places(entry, service),
      ...(tls === undefined ? {} : { tls }),
      ...(service.opensTls && this.#queueKey !== ""
        ? { clientTls: clientTlsMaterial(this.#configuration, entry) }
        : {}),
      ...(service.knowsQueueKey ? { queueKey: this.#queueKey } : {}),
    };
  }

  /** The settings that stress changes, for daemons that know it. */
  #stressed(entry: ServiceEntry, service: Service): Pick<Boot, "stressed"> {
    if (!service.parameters.includes("stress")) return {};
    const parameters = new Map([...entry.parameters, ["stress", { text: "yes", ...entry.place }] as const]);
    const calm = this.#settings(entry, service);
    const stressed = Object.entries(this.#settings({ ...entry, parameters }, service));
    const differing = stressed.filter(([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(calm[name])
    );
    return { stressed: Object.fromEntries(differing) };
  }

  /** Where the rules stand that the service goes by, so that it can name them. */
  #places(entry: ServiceEntry, service: Service): Pick<Boot, "places"> {
    const scope = this.#configuration.scopeOf(entry);
    const told = RULE_PARAMETERS.filter((name) => service.parameters.includes(name));
    const places = told.flatMap((name) => {
      const place = scope.setting(name);
      return place === undefined ? [] : [[name, formatPlace(place)]];
    });
    return told.length === 0 ? {} : { places: Object.fromEntries(places) };
  }

  #pathGrants(
    kind: "read" | "write",
    declared: readonly string[],
    entry: ServiceEntry,
    service: Service,
  ): Grant[] {
    return declared.flatMap((item) =>
      this.#paths(item, entry, service).map(([object, because]): Grant => ({ kind, object, because }))
    );
  }

  /** The paths that a declared item stands for, each with the configuration line that caused it. */
  #paths(item: string, entry: ServiceEntry, service: Service): [string, string][] {
    if (item.startsWith("queue/")) {
      const queue = this.#configuration.settings.queue_directory;
      return [[
        `${queue}/${item.slice("queue/".length)}`,
        `queue_directory (${this.#origin("queue_directory")})`,
      ]];
    }
    const tables = this.#tables(item, entry);
    if (tables !== undefined) {
      // The password of a database is for the process that asks it.
      const specs = service.inet === "tables" ? tables.items : tables.items.filter((one) => !asksServer(one));
      return tableFiles(specs).map((path) => [path, `${tables.name} (${this.#origin(tables.name)})`]);
    }
    if (item.startsWith("$")) {
      const name = item.slice(1) as ParameterName;
      const value = settingsFor(this.#configuration, entry, [name])[name];
      return typeof value === "string" && value !== "" ? [[value, `${name} (${this.#origin(name)})`]] : [];
    }
    return [[item, "service.ts"]];
  }

  #smtpReach(service: Service, settings: Record<string, unknown>, entry: ServiceEntry): SmtpReach {
    const command = service.command === "lmtp" ? "lmtp" : "smtp";
    const reach = smtpReach(this.#configuration, command, (name) => this.#origin(name), entry);
    const trusted = settings["smtp_trusted_nexthops"] as readonly string[];
    settings["smtp_trusted_nexthops"] = [...trusted, ...reach.nexthops];
    return reach;
  }

  #origin(name: string): string {
    return this.#configuration.origin(name);
  }

  /** What a daemon may reach beyond its sockets; the settings that depend on it are completed. */
  #reach(
    service: Service,
    settings: Record<string, unknown>,
    entry: ServiceEntry,
  ): Pick<SmtpReach, "grants" | "denials"> {
    switch (service.inet) {
      case "none":
        return { grants: [], denials: [] };
      case "resolver": {
        const object = String(settings["resolver"] || this.#facts.resolver);
        settings["resolver"] = object;
        const because = `resolver (${this.#origin("resolver")})`;
        // The local end of a datagram socket is bound to a port that the system chooses, which takes a grant too.
        const local = object.startsWith("[") ? "[::]:0" : "0.0.0.0:0";
        const grants = [object, local].map((one): Grant => ({ kind: "net", object: one, because }));
        return { grants, denials: [] };
      }
      case "smtp":
        return this.#smtpReach(service, settings, entry);
      case "https":
        return httpsReach(
          settings["https_port"] as number,
          settings["https_trusted_addresses"] as readonly string[],
          (name) => this.#origin(name),
        );
      case "tables":
        return { grants: service.reads.flatMap((item) => this.#serverGrants(item, entry)), denials: [] };
    }
  }

  /** The tables that a declared item stands for, by their parameter. */
  #tables(item: string, entry: ServiceEntry): { name: ParameterName; items: readonly string[] } | undefined {
    const [kind, name] = item.split(":") as [string, ParameterName];
    if (kind !== "table" && kind !== "servers") return undefined;
    const items = settingsFor(this.#configuration, entry, [name])[name] as readonly string[];
    return { name, items: kind === "servers" ? items.filter(asksServer) : items };
  }

  /** The servers of the tables that a declared item stands for. */
  #serverGrants(item: string, entry: ServiceEntry): Grant[] {
    const tables = this.#tables(item, entry);
    if (tables === undefined) return [];
    const { name, items } = tables;
    return tableSpecs(items).flatMap((spec) =>
      tableTargets([spec]).flatMap((target): Grant[] => {
        const because = `${name} ${spec} (${this.#origin(name)})`;
        const net: Grant = { kind: "net", object: targetText(target), because };
        if (target.kind === "inet") return [net];
        return [net, { kind: "read", object: target.path, because }, {
          kind: "write",
          object: target.path,
          because,
        }];
      })
    );
  }
}

function isSet(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== "" && value !== false && value !== 0;
}

/** Connecting to a unix socket takes three grants on its exact path. */
function socketGrants(sockets: ReadonlyMap<string, string>, service: Service): Grant[] {
  return [...sockets].flatMap(([name, path]): Grant[] => {
    const because = name === service.serverTablesBy
      ? `service.ts: serverTablesBy ${name}, as a table is on a server`
      : service.connectsFor?.[name] !== undefined
      ? `service.ts: connectsFor ${name}, as one of its parameters is set`
      : service.connects.includes(name)
      ? `service.ts: connects ${name}`
      : service.milters !== undefined
      ? `service.ts: milters, of which filter:${name} is one`
      : service.connects.includes("$transports")
      ? `service.ts: connects $transports (${name})`
      : `service.ts: connectsFor ${name}, as a parameter names it`;
    return [
      { kind: "net", object: `unix:${path}`, because },
      { kind: "read", object: path, because },
      { kind: "write", object: path, because },
    ];
  });
}

/** The object as it stands in a flag's list, where a comma ends an item and nothing can stand for one. */
function flagObject(object: string): string {
  if (object.includes(",")) {
    throw new Error(`Cannot grant "${object}": the runtime's flags cannot name a comma`);
  }
  return object;
}

/** Listening sockets of an endpoint. */
function listenerCount(endpoint: Endpoint): number {
  return endpoint.kind === "unix" ? 1 : endpoint.hosts.length;
}

function unbracket(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}
