/**
 * XFORWARD: what a server behind a content filter is told of the client that a message came from.
 *
 * @module
 */
import { asciiUpper } from "../vstring/ascii.ts";
import { encodeXtext } from "../mail/xtext.ts";
import type { DeliveryRequest } from "./client_recipients.ts";
import type { Features } from "./ehlo.ts";

/** Attributes of each of the two commands, in order, with the name of the request's field. */
const COMMANDS = [
  [["NAME", "clientName"], ["ADDR", "clientAddress"], ["PORT", "clientPort"]],
  [["PROTO", "protocolName"], ["HELO", "heloName"], ["IDENT", "logIdent"], ["SOURCE", "rewriteContext"]],
] as const;

/** What smtpd says of a client of which it does not know it. */
const UNKNOWN = "unknown";
/** Longest line, bytes (RFC 5321 section 4.5.3.1.4); an attribute that does not fit is not told. */
const LINE_LIMIT = 512;

/** What is told of a message. */
export type ForwardedClient = Pick<DeliveryRequest, (typeof COMMANDS)[number][number][1]>;

/** One command and what it is called in the log. */
export interface XforwardCommand {
  readonly line: string;
  readonly name: string;
}

const NAMES = ["XFORWARD name/address", "XFORWARD helo/protocol"] as const;

/** The commands for a server: those attributes that it takes and that are known. */
export function xforwardCommands(client: ForwardedClient, features: Features): XforwardCommand[] {
  return COMMANDS.flatMap((attributes, i) => {
    let line = "XFORWARD";
    for (const [attribute, field] of attributes) {
      const value = client[field];
      if (!features.xforward.has(attribute) || value === "" || value === UNKNOWN) continue;
      const text = field === "rewriteContext" ? asciiUpper(value) : encodeXtext(value);
      const pair = ` ${attribute}=${text}`;
      if (line.length + pair.length <= LINE_LIMIT - 2) line += pair;
    }
    return line === "XFORWARD" ? [] : [{ line, name: NAMES[i]! }];
  });
}
