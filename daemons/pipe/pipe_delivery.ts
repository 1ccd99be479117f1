/**
 * The delivery of one message to the program of the service: one run for all recipients of the request, and one outcome
 * for all of them.
 *
 * @module
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { ExpandError } from "../../lib/config/expand.ts";
import { type PipeAttributes } from "../../lib/config/pipe_attributes.ts";
import { type Settings } from "../../lib/config/parameters.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import { commandOutcome, deliveredTo } from "../../lib/mail/command_outcome.ts";
import { fromLine } from "../../lib/mail/mailbox_mbox.ts";
import { type MailboxOutcome, outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
import { type DeliveryHeaders, type TextForm } from "../../lib/mail/mailbox_text.ts";
// Server skeleton
import { type MailboxDeliveryJob } from "../../lib/server/mailbox_agent.ts";
// This program
import { pipeArguments } from "./pipe_arguments.ts";
import { type SERVICE } from "./service.ts";

/** The settings that pipe is told. */
export type PipeSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** What pipe works with. */
export interface PipeAgent {
  readonly settings: PipeSettings;
  readonly attributes: PipeAttributes;
}

const FROM = encodeText("From ");
const DOT = encodeText(".");

/** Gives the message to the program and says what became of it. */
export async function deliverToProgram(pipe: PipeAgent, job: MailboxDeliveryJob): Promise<MailboxOutcome> {
  const { attributes } = pipe;
  const { request, agent } = job;
  const refusal = refuse(pipe, job);
  if (refusal !== undefined) return refusal;
  const delivered = `delivered via ${agent.serviceName} service`;
  const [program = "", ...argv] = attributes.argv;
  if (request.probe) return outcomeOf("2.0.0", `delivers to command: ${program}`);
  let args: string[];
  try {
    args = pipeArguments(argv, request, { ...attributes, rule: pipe.settings });
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error;
    agent.log.warning(`${request.queueId}: argv: ${printable(error.message)}`);
    return outcomeOf("4.3.5", "mail system configuration error");
  }
  const directory = attributes.directory === "" ? pipe.settings.queue_directory : attributes.directory;
  const input = { directory, args, environment: [] };
  const end = await job.toProgram({ kind: "pipe" }, input, headers(pipe, job), form(attributes));
  if (end.how === "unknown") return outcomeOf("4.3.0", end.why);
  return deliveredTo(commandOutcome(end, program), delivered);
}

/** What is settled before the program is asked. */
function refuse(
  { attributes }: PipeAgent,
  { request, source }: MailboxDeliveryJob,
): MailboxOutcome | undefined {
  const { flags, size } = attributes;
  if (size > 0 && request.dataSize > size) return outcomeOf("5.2.3", "message too large");
  if ((flags.includes("D") || flags.includes("O")) && request.recipients.length > 1) {
    return outcomeOf("4.3.5", "mail system configuration error");
  }
  const [recipient] = request.recipients;
  // A program that mails what it gets back to the same address would go on for ever.
  if (flags.includes("D") && recipient !== undefined && source.wasDeliveredTo(recipient.address)) {
    return outcomeOf("5.4.6", `mail forwarding loop for ${printable(recipient.address)}`);
  }
  return undefined;
}

function headers({ attributes }: PipeAgent, { request }: MailboxDeliveryJob): DeliveryHeaders {
  const { flags, nullSender } = attributes;
  const sender = request.sender === "" ? nullSender : request.sender;
  const [recipient] = request.recipients;
  const address = recipient?.address ?? "";
  const original = recipient?.originalRecipient === "" ? address : recipient?.originalRecipient ?? "";
  return {
    ...(flags.includes("F") ? { fromLine: fromLine(sender, Date.now()) } : {}),
    returnPath: flags.includes("R") ? quoteAddress(sender) : undefined,
    originalTo: flags.includes("O") ? quoteAddress(original) : "",
    deliveredTo: flags.includes("D") ? quoteAddress(address) : "",
  };
}

function form({ flags, eol }: PipeAttributes): TextForm {
  return {
    lineEnd: encodeText(eol),
    quoted: [
      ...(flags.includes(">") ? [{ start: FROM, mark: 0x3e }] : []),
      ...(flags.includes(".") ? [{ start: DOT, mark: 0x2e }] : []),
    ],
    blankEnd: flags.includes("B"),
  };
}
