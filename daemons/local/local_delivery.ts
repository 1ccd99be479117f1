/**
 * The delivery of one recipient: expand, then deliver every copy, then one outcome for qmgr.
 *
 * @module
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
// Server skeleton
import {
  type DeliveryRecipient,
  inParallel,
  type MailboxDeliveryJob,
  probedMailbox,
  type RecipientOutcome,
} from "../../lib/server/mailbox_agent.ts";
import { type LocalSources } from "../../lib/server/local_sources.ts";
// This program
import { copyEnvelope, deliverToCommand } from "./local_command.ts";
import { LocalExpansion, NOWHERE } from "../../lib/server/local_expansion.ts";
import { forward, forwardBatches, type Submit } from "./local_forward.ts";
import { passOn, type Transports } from "./local_pass.ts";
import { ownerOfAddress } from "../../lib/server/local_owner.ts";
import { type LocalSettings } from "./local_settings.ts";
import { type Action } from "../../lib/server/local_state.ts";

/** Mailboxes of one recipient that are written at once. */
const PARALLEL_LIMIT = 10;
/** Failed addresses that a combined reason names. */
const NAMED_FAILURES = 10;

/** What local delivery works with. */
export interface LocalDelivery {
  readonly settings: LocalSettings;
  readonly sources: LocalSources;
  readonly submit: Submit;
  readonly transports: Transports;
}

/** One address's outcome. */
interface Settled {
  readonly address: string;
  readonly outcome: MailboxOutcome & Partial<Pick<RecipientOutcome, "action" | "owner">>;
  /** Another agent has written the log line. */
  readonly logged?: true;
  /** Who owns the list of this address is told of a failure, not the sender. */
  readonly toOwner?: true;
}

/** Delivers to one recipient and says what became of it. */
export async function deliverLocally(
  local: LocalDelivery,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
): Promise<RecipientOutcome> {
  const { settings, sources } = local;
  const expansion = new LocalExpansion(settings, sources, job.agent.serviceName, job.request.probe);
  const { actions, isAlias } = await expansion.run(recipient.address, job.request.sender);
  const settled: Settled[] = actions.filter((action) => action.kind === "settled");
  // What must be tried again is tried again as a whole: no copy is made that the next try would repeat.
  const postponed = settled.some(({ outcome }) => outcome.result === "deferred");
  if (!postponed) await new Copies(local, job, recipient, settled).deliver(actions);
  if (settled.length === 0) {
    // Every address was a duplicate, or a list is empty: the log is to say where the mail went.
    settled.push({
      address: recipient.address,
      outcome: { ...outcomeOf("2.0.0", "expands to nobody"), action: "expanded" },
    });
  }
  const told: Settled[] = [];
  for (const one of settled) {
    const outcome = one.logged ? one.outcome : { ...one.outcome, ...await job.told(one.outcome) };
    told.push({ ...one, outcome });
    if (!one.logged && (!postponed || outcome.result === "deferred")) {
      job.log(one.address, recipient, outcome);
    }
  }
  const combined = combine(recipient, told, isAlias);
  // RFC 5321 section 4.5.5: a report is never answered with another one: an owner who leads back to the list would get
  // reports without end.
  const answered = !job.request.probe && job.request.sender !== "";
  return answered ? await addressToOwner(combined, told, settings, sources) : combined;
}

/**
 * The failure with the owner who is to hear of it, where a list's command or file has failed or its mail has come back:
 * nobody else can mend that.
 */
async function addressToOwner(
  combined: RecipientOutcome,
  told: readonly Settled[],
  settings: LocalSettings,
  sources: LocalSources,
): Promise<RecipientOutcome> {
  if (combined.result !== "bounced") return combined;
  for (const { address, outcome, toOwner } of told) {
    if (outcome.result !== "bounced") continue;
    // Another local agent, to which the mail was passed on, has found the owner.
    if (outcome.owner !== undefined) return { ...combined, owner: outcome.owner };
    if (!toOwner) continue;
    const owner = await ownerOfAddress(address, settings, sources);
    if (owner.kind === "owner") return { ...combined, owner: owner.address };
    if (owner.kind === "retry") {
      return { ...outcomeOf("4.3.0", "alias database unavailable"), action: "delayed" };
    }
  }
  return combined;
}

/** What a probe says of an address that is left to be delivered. */
function probed(action: Action): MailboxOutcome | undefined {
  switch (action.kind) {
    case "mailbox":
      return probedMailbox(action.task);
    case "file":
      return outcomeOf("2.0.0", `delivers to file: ${printable(action.path)}`);
    case "command":
      return outcomeOf("2.0.0", `delivers to command: ${printable(action.command)}`);
    case "forward":
      return outcomeOf("2.0.0", `forwards to ${printable(action.address)}`);
    case "pass":
    case "settled":
      return undefined;
    default:
      return action satisfies never;
  }
}

/** The copies of one recipient's mail, and what became of each. */
class Copies {
  readonly #local: LocalDelivery;
  readonly #job: MailboxDeliveryJob;
  readonly #recipient: DeliveryRecipient;
  readonly #settled: Settled[];
  /** By file, the line at which it stopped. */
  readonly #stopped = new Map<number, number>();

  constructor(
    local: LocalDelivery,
    job: MailboxDeliveryJob,
    recipient: DeliveryRecipient,
    settled: Settled[],
  ) {
    this.#local = local;
    this.#job = job;
    this.#recipient = recipient;
    this.#settled = settled;
  }

  async deliver(actions: readonly Action[]): Promise<void> {
    if (this.#job.request.probe) {
      for (const action of actions) {
        const outcome = probed(action);
        if (outcome !== undefined) this.#settled.push({ address: action.address, outcome });
        else if (action.kind === "pass") await this.#one(action);
      }
      return;
    }
    // The users of an alias at once; the lines of a file in their order.
    const together = actions.filter((action) => action.kind === "mailbox" && action.lines.length === 0);
    await inParallel(together, PARALLEL_LIMIT, (action) => this.#one(action));
    for (const action of actions) {
      if (!together.includes(action) && !this.#isStopped(action)) await this.#one(action);
    }
    await this.#forward(actions);
  }

  /** Forwarded mail goes last: its copies cannot be told from the first ones when everything is tried again. */
  async #forward(actions: readonly Action[]): Promise<void> {
    if (this.#settled.some(({ outcome }) => outcome.result === "deferred")) return;
    for (const batch of forwardBatches(actions)) {
      const { settings, submit } = this.#local;
      const outcome = await forward(batch, this.#job, this.#recipient, settings, submit);
      this.#settled.push({ address: this.#recipient.address, outcome });
      if (outcome.result === "deferred") return;
    }
  }

  /** A line of a file before this one was deferred: what stands behind it is done when that is. */
  #isStopped({ lines }: Action): boolean {
    return lines.some(({ file, line }) => line > (this.#stopped.get(file) ?? Infinity));
  }

  async #one(action: Action): Promise<void> {
    const outcome = await this.#outcomeOf(action);
    if (outcome === undefined) return;
    this.#settled.push({
      address: action.address,
      outcome,
      ...(action.kind === "pass" ? { logged: true } as const : {}),
      ...(action.kind === "command" || action.kind === "file" ? { toOwner: true } as const : {}),
    });
    if (outcome.result !== "deferred") return;
    for (const { file, line } of action.lines) {
      this.#stopped.set(file, Math.min(line, this.#stopped.get(file) ?? Infinity));
    }
  }

  async #outcomeOf(action: Action): Promise<Settled["outcome"] | undefined> {
    const { settings, transports } = this.#local;
    const job = this.#job;
    const recipient = this.#recipient;
    const header = settings.prepend_delivered_header.includes("file") ? action.deliveredTo : "";
    switch (action.kind) {
      case "mailbox":
        return await job.toMailbox(action.task, copyEnvelope(action, recipient, header));
      case "file":
        return await this.#toFile(action, header);
      case "command":
        return await deliverToCommand(action, job, recipient, settings);
      case "pass":
        return await passOn(action.transport, action.address, job, recipient, transports);
      case "forward":
      case "settled":
        return undefined;
      default:
        return action satisfies never;
    }
  }

  async #toFile(action: Extract<Action, { kind: "file" }>, header: string): Promise<MailboxOutcome> {
    const delivered = outcomeOf("2.0.0", `delivered to file: ${printable(action.path)}`);
    if (action.path === NOWHERE) return delivered;
    const copy = copyEnvelope(action, this.#recipient, header);
    const outcome = await this.#job.toMailbox(action.request, copy);
    return outcome.result === "sent" && action.request.format === "mbox" ? delivered : outcome;
  }
}

/** One outcome of many: anything deferred defers, then anything bounced bounces. */
function combine(
  recipient: DeliveryRecipient,
  settled: readonly Settled[],
  isAlias: boolean,
): RecipientOutcome {
  const worst = settled.find(({ outcome }) => outcome.result === "deferred") ??
    settled.find(({ outcome }) => outcome.result === "bounced") ?? settled[0]!;
  const { result, status } = worst.outcome;
  const same = settled.filter(({ outcome }) => outcome.result === result);
  const reason = result === "sent"
    ? worst.outcome.reason
    : same.slice(0, NAMED_FAILURES).map(({ address, outcome }) =>
      address === recipient.address ? outcome.reason : `<${printable(address)}>: ${outcome.reason}`
    ).join("; ");
  const action = result === "sent"
    ? isAlias ? "expanded" : worst.outcome.action ?? "delivered"
    : result === "bounced"
    ? "failed"
    : "delayed";
  return { result, status, reason, action };
}
