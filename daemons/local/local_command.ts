/**
 * One delivery to a command: what it is told of the mail, where it runs, and what came of it (postfix-map section 9.4).
 *
 * @module
 */
// Utility
import { LF } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { splitAddress } from "../../lib/mail/address.ts";
import { commandOutcome, deliveredTo } from "../../lib/mail/command_outcome.ts";
import { fromLine } from "../../lib/mail/mailbox_mbox.ts";
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
import { type TextForm } from "../../lib/mail/mailbox_text.ts";
// Server skeleton
import {
  type CopyEnvelope,
  type DeliveryRecipient,
  type MailboxDeliveryJob,
} from "../../lib/server/mailbox_agent.ts";
import { expandNames, filtered } from "../../lib/server/local_names.ts";
// This program
import { type LocalSettings } from "./local_settings.ts";
import { type Action } from "../../lib/server/local_state.ts";

/** A command to run. */
export type CommandAction = Extract<Action, { kind: "command" }>;

/** No quoting of lines, no empty line at the end: the command puts the message where it will. */
const FORM: TextForm = { lineEnd: new Uint8Array([LF]), quoted: [], blankEnd: false };

/** Runs the command on the message. */
export async function deliverToCommand(
  action: CommandAction,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
  settings: LocalSettings,
): Promise<MailboxOutcome> {
  const directory = executionDirectory(action, settings);
  if (directory.kind === "bad") {
    job.agent.log.warning(`${job.request.queueId}: bad command_execution_directory: ${directory.why}`);
    return outcomeOf("4.3.5", "mail system configuration error");
  }
  const withHeader = settings.prepend_delivered_header.includes("command");
  const headers = {
    ...job.headers(copyEnvelope(action, recipient, withHeader ? action.deliveredTo : "")),
    fromLine: fromLine(action.sender, Date.now()),
  };
  const input = {
    directory: directory.text,
    args: [],
    environment: environment(action, job, recipient, settings),
  };
  const end = await job.toProgram(action.request, input, headers, FORM);
  if (end.how === "unknown") return outcomeOf("4.3.0", end.why);
  const outcome = commandOutcome(end, printable(action.command));
  return deliveredTo(
    { ...outcome, reason: outcome.result === "sent" ? "" : outcome.reason },
    delivered(action),
  );
}

/** The addresses of a copy: what a list with an owner delivers is the list's own mail, whoever has written to it. */
export function copyEnvelope(
  { sender, owned }: Pick<Action, "sender" | "owned">,
  { originalRecipient }: DeliveryRecipient,
  deliveredTo: string,
): CopyEnvelope {
  return { sender, originalRecipient: owned ? "" : originalRecipient, deliveredTo };
}

/** What is said of a success. */
export function delivered({ command }: CommandAction): string {
  return `delivered to command: ${printable(command)}`;
}

function executionDirectory(
  { recipient, user }: CommandAction,
  settings: LocalSettings,
): { readonly kind: "text"; readonly text: string } | { readonly kind: "bad"; readonly why: string } {
  const { command_execution_directory, execution_directory_expansion_filter, queue_directory } = settings;
  const filter = execution_directory_expansion_filter;
  const expanded = expandNames(command_execution_directory, recipient, user, filter);
  if (expanded.kind === "bad" || expanded.text !== "") return expanded;
  return { kind: "text", text: queue_directory };
}

/** The variables that tell of the mail; whatever a shell or a program might take for more becomes `_`. */
function environment(
  { recipient, sender, owned }: CommandAction,
  { request }: MailboxDeliveryJob,
  { originalRecipient }: DeliveryRecipient,
  settings: LocalSettings,
): { readonly name: string; readonly value: string }[] {
  const always: [string, string][] = [
    ["LOGNAME", recipient.user],
    ["USER", recipient.user],
    ["SENDER", sender],
    ["RECIPIENT", recipient.address],
    ["LOCAL", recipient.localpart],
  ];
  const known: [string, string][] = [
    ["DOMAIN", splitAddress(recipient.address).domain ?? ""],
    ["EXTENSION", recipient.extension],
    ["ORIGINAL_RECIPIENT", owned ? "" : originalRecipient],
    ["CLIENT_HOSTNAME", request.clientName],
    ["CLIENT_ADDRESS", request.clientAddress],
    ["CLIENT_HELO", request.heloName],
    ["CLIENT_PROTOCOL", request.protocolName],
    ["SASL_METHOD", request.saslMethod],
    ["SASL_SENDER", request.saslSender],
    ["SASL_USERNAME", request.saslUsername],
    ["ENVID", owned ? "" : request.envelopeId],
  ];
  return [...always, ...known.filter(([, value]) => value !== "")].map(([name, value]) => ({
    name,
    value: filtered(value, settings.command_expansion_filter),
  }));
}
