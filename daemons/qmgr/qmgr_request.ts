/**
 * What an agent is told of a delivery. Every text is cut to what the protocol carries: a long reply of a remote
 * server, or a queue file that another program made, must not end the queue manager.
 */
// Utility
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { SENDOPT_ALL } from "../../lib/mail/send_options.ts";
// Server skeleton
import { DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import type { Entry } from "./qmgr_message.ts";
import { senderFor } from "./qmgr_notice.ts";

const FIELDS = DELIVERY.requests.deliver.fields;
/** Longest UTF-8 form of one UTF-16 unit, bytes. */
const UNIT_MOST = 3;

/** The text, or as much of it as fits into so many bytes of UTF-8. */
export function cutText(text: string, most: number): string {
  if (text.length * UNIT_MOST <= most) return text;
  const bytes = encodeText(text);
  return bytes.length <= most ? text : decodeText(bytes.subarray(0, most));
}

/** True when a text has at most so many bytes in UTF-8. */
export function textFits(text: string, most: number): boolean {
  return text.length * UNIT_MOST <= most || encodeText(text).length <= most;
}

/** An entry as the delivery protocol has it. */
export function deliveryRequest({ message, recipients, queue }: Entry) {
  const { envelope } = message;
  const attribute = (name: string, { most }: { readonly most: number }) =>
    cutText(envelope.attributes.get(name) ?? "", most);
  const encoding = envelope.attributes.get("encoding");
  return {
    queueId: message.id,
    queueName: "active",
    dataOffset: envelope.size.dataOffset,
    dataSize: envelope.size.contentLength,
    nexthop: cutText(queue.nexthop, FIELDS.nexthop.most),
    encoding: encoding === "7bit" || encoding === "8bit" ? encoding : "",
    sendOptions: envelope.size.sendOptions & SENDOPT_ALL,
    sender: cutText(senderFor(envelope, recipients[0]), FIELDS.sender.most),
    envelopeId: envelope.envelopeId,
    ret: envelope.ret,
    arrivalTime: envelope.arrivalTime,
    activeTime: message.activeTime,
    clientName: attribute("log_client_name", FIELDS.clientName),
    clientAddress: attribute("log_client_address", FIELDS.clientAddress),
    clientPort: attribute("log_client_port", FIELDS.clientPort),
    protocolName: attribute("log_protocol_name", FIELDS.protocolName),
    heloName: attribute("log_helo_name", FIELDS.heloName),
    saslMethod: attribute("sasl_method", FIELDS.saslMethod),
    saslUsername: attribute("sasl_username", FIELDS.saslUsername),
    saslSender: attribute("sasl_sender", FIELDS.saslSender),
    logIdent: attribute("log_ident", FIELDS.logIdent) || message.id,
    rewriteContext: envelope.attributes.get("rewrite_context") === "remote" ? "remote" : "local",
    probe: message.probe,
    recipients,
  } as const;
}
