/**
 * The helpers that run: started on a daemon's request, given their connection, heard when they name what a file holds
 * or a group that is to be killed.
 */
import type { Configuration, ServiceEntry } from "../../lib/config/configuration.ts";
import type { Logger } from "../../lib/log/log.ts";
import { findUser, killGroup, openHandedConnection, ownGroup } from "../../lib/safe/process.ts";
import type { AnyHelperTask, Status } from "../../lib/server/boot.ts";
import type { Identity } from "../../lib/server/identity.ts";
import type { Plan, Planner } from "../../lib/server/sandbox.ts";
import { NamedThings } from "./master_author.ts";
import type { ChildOptions, MasterChild } from "./master_child.ts";
import { HelperRequests } from "./master_request.ts";
import type { MasterService } from "./master_service.ts";

/** Each service that has helpers keeps mailbox_helper_limit of them; as many again may be on their way out. */
const HELPERS_PER_LIMIT = 2;

/** What the helpers need of the supervisor. */
export interface HelpersHost {
  /** What a reload replaces. */
  current(): { readonly log: Logger; readonly configuration: Configuration; readonly planner: Planner };
  readonly services: ReadonlyMap<string, MasterService>;
  /** One piece of work at a time: descriptors are opened in it. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Starts a process; only to be called within `inTurn`. */
  spawn(plan: Plan, descriptors: readonly number[], options: ChildOptions): Promise<MasterChild>;
  /** The user of a helper. */
  identityOf(task: Identity): Identity | undefined;
}

/** Keeps the helpers of all services. */
export class MasterHelpers {
  readonly #host: HelpersHost;
  readonly #running = new Map<MasterChild, AnyHelperTask>();
  /** Spawn services, whose programs may have to be killed. */
  readonly #programs = new WeakMap<MasterChild, AnyHelperTask>();
  /** What users' files name, as the helpers that read them say. */
  readonly #named = new NamedThings();
  /** By service. */
  readonly #requests = new Map<string, HelperRequests>();

  constructor(host: HelpersHost) {
    this.#host = host;
  }

  get running(): MasterChild[] {
    return [...this.#running.keys()];
  }

  /** The configuration is another one: requests are checked against that. */
  reload(): void {
    this.#requests.clear();
  }

  /** Starts what a daemon asks for, and tells it so or why not. */
  start(from: MasterChild, request: Extract<Status, { word: "helper" }>): void {
    const { services } = this.#host;
    const { log, configuration, planner } = this.#host.current();
    const service = [...services.values()].find((one) => one.children.has(from));
    const token = String(request.token);
    const refuse = (why: string) => {
      log.warning(`${from.service} pid ${from.pid}: ${why}`);
      from.tell({ word: "helper", token, why });
    };
    if (service === undefined || !service.plan.service.startsHelpers || !isToken(token)) {
      return refuse("Cannot start helper: this service starts none");
    }
    const askers = [...services.values()].filter(({ plan }) => plan.service.startsHelpers).length;
    const most = HELPERS_PER_LIMIT * askers * configuration.settings.mailbox_helper_limit;
    if (this.#running.size >= most) return refuse(`Cannot start helper: there are ${most}`);
    const { endpoint, entry } = service.plan;
    if (endpoint.kind !== "unix") return refuse("Cannot start helper: service has no socket");
    this.#requestsOf(entry).check(request.task).then(async (checked) => {
      if (checked.kind === "refused") return refuse(checked.why);
      const command = checked.task.kind === "program" ? "program" : "mailbox";
      const plan = planner.helperPlan(command, entry, checked.task);
      await this.#connect(plan, checked.task, helperPath(endpoint.path), token);
      from.tell({ word: "helper", token, why: "" });
    }).catch((error) => refuse(error instanceof Error ? error.message : String(error)));
  }

  /** A helper has read a file of its user's, or of root's, and says what stands in it. */
  takeNames(child: MasterChild, items: unknown): void {
    const task = this.#running.get(child);
    if (task?.kind === "files") this.#named.record(task.author, items);
    else if (task?.kind === "mailbox" && task.files !== undefined) {
      this.#named.record(findUser(task.user)?.uid ?? task.uid, items);
    }
  }

  /** A child that is no helper runs a program. */
  startsProgram(child: MasterChild, task: AnyHelperTask): void {
    this.#programs.set(child, task);
  }

  /** A helper's program took too long: the group that it leads is killed, as far as its user may. */
  killGroup(child: MasterChild, leader: unknown): void {
    const task = this.#running.get(child) ?? this.#programs.get(child);
    if (task?.kind !== "program" || !Number.isSafeInteger(leader)) return;
    const group = leader as number;
    // Where all run as one user the system would not keep a helper from having us killed.
    if (group <= 1 || group === ownGroup()) return;
    killGroup(group, this.#host.identityOf(task)).catch((error) =>
      this.#host.current().log.warning(`${error instanceof Error ? error.message : error}`)
    );
  }

  #requestsOf(entry: ServiceEntry): HelperRequests {
    const known = this.#requests.get(entry.name);
    if (known !== undefined) return known;
    const { configuration, log } = this.#host.current();
    const made = new HelperRequests(configuration, entry, this.#named, log);
    this.#requests.set(entry.name, made);
    return made;
  }

  /** Connects to the asking daemon and gives the connection to the helper: its only way to the world. */
  #connect(plan: Plan, task: AnyHelperTask, path: string, token: string): Promise<void> {
    return this.#host.inTurn(async () => {
      const connection = await openHandedConnection(path, `${token}\n`);
      try {
        const child = await this.#host.spawn(plan, [connection.descriptor], {
          retiring: () => {},
          alive: () => {},
          ended: (one, how) => {
            connection.close();
            this.#running.delete(one);
            if (!one.expected && how.signal !== "") {
              const text = `process ${one.service} pid ${one.pid} killed by signal ${how.signal}`;
              this.#host.current().log.warning(text);
            }
          },
        });
        this.#running.set(child, task);
        child.follow();
      } catch (error) {
        connection.close();
        throw error;
      }
    });
  }
}

/** The second socket of a service, where its helpers arrive. */
export function helperPath(path: string): string {
  return `${path}.helpers`;
}

function isToken(token: string): boolean {
  return token.length <= 20 && [...token].every((digit) => digit >= "0" && digit <= "9");
}
