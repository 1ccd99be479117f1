/**
 * The named attributes of a message that comes in.
 */

/** Attributes that a client may set; anything else is a protocol error. */
export const ATTRIBUTES: ReadonlySet<string> = new Set([
  "client_address",
  "client_address_type",
  "client_name",
  "client_port",
  "dsn_orig_rcpt",
  "encoding",
  "envelope_id",
  "helo_name",
  "log_client_address",
  "log_client_name",
  "log_client_port",
  "log_helo_name",
  "log_ident",
  "log_message_origin",
  "log_protocol_name",
  "message_origin",
  "notify_flags",
  "protocol_name",
  "ret_flags",
  "reverse_client_name",
  "rewrite_context",
  "sasl_method",
  "sasl_sender",
  "sasl_username",
  "sendopts",
  "server_address",
  "server_port",
  "trace_flags",
]);

/** True for an attribute of the recipient that follows; the others are the message's. */
export function isPerRecipient(name: string): boolean {
  return name === "notify_flags" || name === "dsn_orig_rcpt";
}
