/**
 * An explanation for people: one line for each decision, from top to bottom, with the place that decided at the right.
 *
 * @module
 */
// Utility
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../lib/mail/address.ts";
// Access
import type { Step } from "../lib/access/policy.ts";
// Server skeleton
import type { Ground } from "../lib/server/decisions.ts";
// This program
import type {
  AddressStep,
  AddressStory,
  AliasNode,
  Delivery,
  DestinationFacts,
  EndFacts,
  Explanation,
  LocalStep,
  MailFilterFacts,
  RecipientFacts,
  SmtpFacts,
  TlsFacts,
} from "./explain_facts.ts";

/** Column at which places stand, where the text leaves room. */
const PLACE_COLUMN = 76;
const INDENT = "  ";

/** Lines with places, by depth. */
class Page {
  #text = "";

  add(depth: number, text: string, place = ""): void {
    const line = INDENT.repeat(depth) + text;
    const gap = place === "" ? "" : " ".repeat(Math.max(2, PLACE_COLUMN - line.length)) + place;
    this.#text += `${line}${gap}\n`;
  }

  toString(): string {
    return this.#text;
  }
}

/** The explanation as text. */
export function explanationText(explanation: Explanation): string {
  const page = new Page();
  const { asked, smtp, filters, sender, recipients } = explanation;
  page.add(0, `from <${show(asked.sender)}> to <${show(asked.recipient)}>`);
  if (smtp === undefined) page.add(0, "no SMTP server: mail comes from this host's programs only");
  else addSmtp(page, explanation, smtp);
  for (const filter of filters) addMailFilter(page, filter);
  if (smtp !== undefined && (!smtp.accepted || smtp.later !== undefined)) {
    page.add(0, "what follows is what would become of the mail if it were accepted");
  }
  page.add(0, "sender");
  addStory(page, 1, sender);
  for (const recipient of recipients) addRecipient(page, recipient);
  return page.toString();
}

function show(address: string): string {
  return printable(quoteAddress(address));
}

function addSmtp(page: Page, { asked }: Explanation, smtp: SmtpFacts): void {
  const client = `${printable(asked.clientName)}[${asked.client}]`;
  page.add(
    0,
    `client ${client}, helo ${printable(asked.helo) || "none"}, at service ${smtp.service}`,
    smtp.place,
  );
  page.add(1, smtp.trusted ? "is in mynetworks" : "is not in mynetworks", smtp.mynetworks);
  if (asked.sasl !== "") page.add(1, `is logged in as ${printable(asked.sasl)}`);
  addSteps(page, smtp.steps);
  page.add(1, `reply: ${printable(smtp.reply)}`);
  addSteps(page, smtp.dataSteps);
  addSteps(page, smtp.endSteps, ", asked with the message's content");
  if (smtp.later !== undefined) {
    const when = smtp.later.stage === "DATA" ? "DATA" : "the end of the message";
    page.add(1, `reply to ${when}: ${printable(smtp.later.reply)}`);
  }
  if (smtp.relayed) page.add(1, "this is relaying: the mail does not end here");
}

/** What a filter says depends on the content; who it is and what it may touch does not. */
function addMailFilter(page: Page, { name, rule, place, whenItFails, may }: MailFilterFacts): void {
  const failed = whenItFails === undefined ? "" : `, ${whenItFails} when it fails`;
  page.add(1, `${rule}: ${printable(name)} has a say${failed}`, place);
  if (may === undefined) return;
  const reads = may.reads.length === 0
    ? "reads no file"
    : `reads ${may.reads.map((path) => printable(path)).join(", ")}`;
  const net = may.net.length === 0
    ? "connects nowhere"
    : `connects to ${may.net.map((target) => printable(target)).join(", ")}`;
  page.add(2, `${reads}, ${net}, has ${may.time} s and ${may.memory} MiB for a message`);
}

/** @param more stands behind the name of each list */
function addSteps(page: Page, steps: readonly Step[], more = ""): void {
  let parameter = "";
  for (const step of steps) {
    if (step.rule.parameter !== parameter && step.rule.text !== step.rule.parameter) {
      page.add(1, `${step.rule.parameter}${more}`, step.rule.place);
    }
    parameter = step.rule.parameter;
    addStep(page, step, step.rule.text === parameter ? 1 : 2);
  }
}

const OUTCOMES: Readonly<Record<Step["outcome"], string>> = {
  ok: "permits",
  dunno: "no opinion",
  reject: "refuses",
};

function addStep(page: Page, { rule, outcome, reply, entry, note }: Step, depth: number): void {
  const why = note === undefined ? "" : ` (${note})`;
  // The lines of one list share the place of its head.
  const place = rule.text === rule.parameter ? rule.place : "";
  page.add(depth, `${rule.text}: ${OUTCOMES[outcome]}${why}`, place);
  if (entry !== undefined) page.add(depth + 1, `${entry.table} says ${printable(entry.value)}`, entry.place);
  if (reply !== undefined) page.add(depth + 1, printable(reply));
}

function addStory(page: Page, depth: number, { address, steps, canonical, trouble }: AddressStory): void {
  page.add(depth, `<${show(address)}>`);
  addChanges(page, depth, steps);
  if (trouble !== undefined) page.add(depth, `deferred: ${printable(trouble)}`);
  else if (steps.length > 0) page.add(depth, `<${show(canonical)}>`);
}

function addChanges(page: Page, depth: number, steps: readonly AddressStep[]): void {
  for (const { rule, before, after, grounds } of steps) {
    const last = grounds.at(-1);
    page.add(
      depth,
      `${rule}: ${printable(before)} -> ${printable(after)}`,
      last === undefined ? "" : placeOf(last),
    );
  }
}

/** Where an entry stands, or the parameter that names its table. */
function placeOf({ place, entry }: Ground): string {
  return entry?.place || place;
}

function addRecipient(page: Page, facts: RecipientFacts): void {
  const ground = facts.grounds.at(-1);
  const plain = facts.role === "recipient" || facts.role === "forwarded";
  page.add(0, plain ? facts.role : `copy (${facts.role})`, ground && placeOf(ground));
  addStory(page, 1, facts.rewriting);
  if (facts.aliases.members.length > 0) {
    page.add(1, "aliases");
    addAliases(page, 2, facts.aliases);
  }
  if (facts.trouble !== undefined) page.add(1, `deferred: ${printable(facts.trouble)}`);
  for (const end of facts.ends) addEnd(page, end);
}

function addAliases(page: Page, depth: number, node: AliasNode): void {
  const ground = node.grounds.at(-1);
  page.add(depth, `<${show(node.address)}>${node.repeated ? " (itself)" : ""}`, ground && placeOf(ground));
  for (const member of node.members) addAliases(page, depth + 1, member);
}

function addEnd(page: Page, end: EndFacts): void {
  page.add(0, `delivery to <${show(end.address)}>`);
  addChanges(page, 1, end.steps);
  for (const ground of end.grounds) addGround(page, 1, ground);
  const { filter } = end;
  if (filter !== undefined) {
    page.add(1, `${filter.rule}: the filter ${printable(filter.target)} gets it first`, filter.place);
  }
  if (end.class !== "") {
    page.add(
      1,
      `class ${end.class}, transport ${end.transport}, next hop ${printable(end.nexthop)}`,
      end.delivery.place,
    );
  }
  addDelivery(page, 1, end.delivery);
}

function addGround(page: Page, depth: number, ground: Ground): void {
  const { parameter, key, entry } = ground;
  const found = entry === undefined
    ? `has ${printable(key)}`
    : `${entry.table} has ${printable(entry.key)}${
      entry.value === "" ? "" : ` -> ${printable(entry.value)}`
    }`;
  page.add(depth, `${parameter}: ${found}`, placeOf(ground));
}

function addDelivery(page: Page, depth: number, delivery: Delivery): void {
  switch (delivery.kind) {
    case "local":
      for (const step of delivery.steps) addLocal(page, depth, step);
      return;
    case "smtp":
    case "lmtp":
      for (const destination of delivery.destinations) addDestination(page, depth, destination);
      return;
    case "mailbox":
      for (const ground of delivery.grounds) addGround(page, depth, ground);
      page.add(
        depth,
        `${delivery.format} ${printable(delivery.path)}, as user ${delivery.uid}, group ${delivery.gid}`,
      );
      return;
    case "service":
      return page.add(depth, `handed to ${delivery.command}`);
    case "discarded":
      return page.add(depth, `thrown away${delivery.text === "" ? "" : `: ${printable(delivery.text)}`}`);
    case "bounced":
    case "deferred":
      page.add(depth, `${delivery.kind}: ${printable(delivery.text)}`);
      if (delivery.note !== undefined) page.add(depth + 1, delivery.note);
      return;
    default:
      delivery satisfies never;
  }
}

/** "TLS encrypt: mail must not go in the clear". */
function tlsText({ level, required, matches, trouble }: TlsFacts): string {
  if (trouble !== undefined) return `TLS: the host is not used: ${printable(trouble)}`;
  const names = matches.length === 0 ? "" : `, the certificate must match ${printable(matches.join(" "))}`;
  return `TLS ${level}: ${required ? "mail must not go in the clear" : "mail may go in the clear"}${names}`;
}

function addLocal(page: Page, base: number, step: LocalStep): void {
  const depth = base + step.depth;
  const address = `<${show(step.address)}>`;
  switch (step.kind) {
    case "alias":
      return page.add(depth, `alias ${printable(step.name)} -> ${printable(step.value)}`, step.place);
    case "forward":
      return page.add(depth, `.forward of ${address}`, step.place);
    case "include":
      return page.add(depth, `list of ${address}`, step.place);
    case "mailbox":
      return page.add(
        depth,
        `${address}: ${step.format} ${printable(step.path)}, as user ${printable(step.user)}`,
      );
    case "file":
      return page.add(depth, `${address}: file ${printable(step.path)}`);
    case "command":
      return page.add(depth, `${address}: command ${printable(step.command)}`);
    case "forwarded":
      return page.add(depth, `${address}: forwarded in a message of its own`);
    case "passed":
      page.add(depth, `${address}: handed to transport ${printable(step.transport)}`, step.delivery.place);
      return addDelivery(page, depth + 1, step.delivery);
    case "discarded":
    case "bounced":
    case "deferred":
      return page.add(depth, `${address}: ${step.kind}: ${printable(step.text)}`);
    default:
      step satisfies never;
  }
}

function addDestination(page: Page, depth: number, { destination, hosts, failure }: DestinationFacts): void {
  page.add(depth, `destination ${printable(destination)}`);
  for (const { name, address, port, preference, tls } of hosts) {
    const where = port === 0 ? `${name}[${address}]` : `${name}[${address}]:${port}`;
    page.add(depth + 1, `${printable(where)}${preference > 0 ? `, preference ${preference}` : ""}`);
    page.add(depth + 2, tlsText(tls));
  }
  if (failure === undefined) return;
  page.add(
    depth + 1,
    `${failure.soft ? "deferred" : "bounced"}: ${failure.status} ${printable(failure.text)}`,
  );
}
