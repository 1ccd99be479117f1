/**
 * The settings of local in tests: Postfix's defaults. Not a test itself.
 *
 * @module
 */
import { type LocalSettings } from "../../../daemons/local/local_settings.ts";

/** Letters, digits and punctuation that values may bring anywhere. */
const FILTER = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** What local is told where the configuration sets nothing but a delimiter. */
export const LOCAL_SETTINGS: LocalSettings = {
  alias_maps: [],
  allow_mail_to_commands: ["alias", "forward"],
  allow_mail_to_files: ["alias", "forward"],
  command_execution_directory: "",
  command_expansion_filter: FILTER,
  delay_logging_resolution_limit: 2,
  double_bounce_sender: "double-bounce",
  duplicate_filter_limit: 1000,
  enable_original_recipient: true,
  execution_directory_expansion_filter: FILTER,
  expand_owner_alias: false,
  fallback_transport: "",
  fallback_transport_maps: [],
  forward_expansion_filter: FILTER,
  forward_path: "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
  frozen_delivered_to: true,
  hash_queue_depth: 1,
  hash_queue_names: [],
  home_mailbox: "",
  line_length_limit: 2048,
  local_delivery_status_filter: [],
  luser_relay: "",
  mail_name: "Postern",
  mail_spool_directory: "/var/mail",
  mailbox_command: "",
  mailbox_command_maps: [],
  mailbox_helper_idle: 10,
  mailbox_helper_limit: 50,
  mailbox_transport: "",
  mailbox_transport_maps: [],
  myhostname: "mx.example.com",
  owner_request_special: true,
  prepend_delivered_header: ["command", "file", "forward"],
  propagate_unmatched_extensions: ["canonical", "virtual"],
  queue_directory: "/q",
  recipient_delimiter: "+",
  require_home_directory: false,
  reset_owner_alias: false,
  smtputf8_autodetect_classes: ["sendmail", "verify"],
  soft_bounce: false,
};
