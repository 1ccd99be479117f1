/**
 * The arguments of the program: macros replaced by what the message has (postfix-map section 9.9). An argument with a
 * macro of the recipient stands once for each recipient. What a macro brings is never looked at again, and goes to the
 * program as one argument, whatever is in it.
 *
 * @module
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { expand, ExpandError, referencedNames } from "../../lib/config/expand.ts";
// Mail
import {
  type ExtensionRule,
  joinAddress,
  quoteAddress,
  splitAddress,
  splitExtension,
} from "../../lib/mail/address.ts";
// Server skeleton
import { type DeliveryRecipient, type DeliveryRequest } from "../../lib/server/mailbox_agent.ts";

/** Most arguments of one program. */
const ARGUMENTS_LIMIT = 20_000;

/** Macros whose value depends on the recipient. */
const RECIPIENT_MACROS: readonly string[] = [
  "domain",
  "extension",
  "mailbox",
  "original_recipient",
  "recipient",
  "user",
];

/** What the arguments are made with. */
export interface ArgumentsHow {
  readonly flags: string;
  readonly nullSender: string;
  readonly rule: ExtensionRule;
}

/** The arguments behind the program's name; throws an `ExpandError` for a macro that there is not. */
export function pipeArguments(
  argv: readonly string[],
  request: DeliveryRequest,
  how: ArgumentsHow,
): string[] {
  const message = messageMacros(request, how);
  const recipients = request.recipients.map((recipient) => recipientMacros(recipient, how));
  const out = argv.flatMap((argument) => {
    const names = referencedNames(argument);
    const perRecipient = names.some((name) => RECIPIENT_MACROS.includes(name));
    return (perRecipient ? recipients : [new Map<string, string>()]).flatMap((own) => {
      // Nothing stands for an extension that an address does not have.
      if (names.includes("extension") && own.get("extension") === "") return [];
      return [expand(argument, (name) => macro(name, own, message))];
    });
  });
  if (out.length > ARGUMENTS_LIMIT) throw new ExpandError(`more than ${ARGUMENTS_LIMIT} arguments`);
  return out;
}

function macro(
  name: string,
  own: ReadonlyMap<string, string>,
  message: ReadonlyMap<string, string>,
): string {
  const value = own.get(name) ?? message.get(name);
  if (value === undefined) throw new ExpandError(`unknown macro "${name}"`);
  return value;
}

function messageMacros(request: DeliveryRequest, how: ArgumentsHow): ReadonlyMap<string, string> {
  const { sender, nexthop } = request;
  const quote = how.flags.includes("q") ? quoteAddress : (address: string) => address;
  // An empty replacement is no address to quote.
  const shown = sender === "" ? how.nullSender : sender;
  return new Map([
    ["client_address", request.clientAddress],
    ["client_helo", request.heloName],
    ["client_hostname", request.clientName],
    ["client_port", request.clientPort],
    ["client_protocol", request.protocolName],
    ["envid", request.envelopeId],
    ["nexthop", how.flags.includes("h") ? asciiLower(nexthop) : nexthop],
    ["queue_id", request.queueId],
    ["sasl_method", request.saslMethod],
    ["sasl_sender", request.saslSender],
    ["sasl_username", request.saslUsername],
    ["sender", shown === "" ? "" : quote(shown)],
    ["size", String(request.dataSize)],
  ]);
}

function recipientMacros(recipient: DeliveryRecipient, how: ArgumentsHow): ReadonlyMap<string, string> {
  const { localpart, domain } = splitAddress(folded(recipient.address, how.flags));
  const { user, extension } = splitExtension(localpart, how.rule);
  const quote = how.flags.includes("q") ? quoteAddress : (address: string) => address;
  const original = recipient.originalRecipient === "" ? recipient.address : recipient.originalRecipient;
  return new Map([
    ["domain", domain ?? ""],
    ["extension", extension],
    ["mailbox", localpart],
    ["original_recipient", quote(folded(original, how.flags))],
    ["recipient", quote(joinAddress(localpart, domain))],
    ["user", user],
  ]);
}

/** The address with the cases of its parts as the flags u and h want them. */
function folded(address: string, flags: string): string {
  const { localpart, domain } = splitAddress(address);
  return joinAddress(
    flags.includes("u") ? asciiLower(localpart) : localpart,
    flags.includes("h") && domain !== undefined ? asciiLower(domain) : domain,
  );
}
