/**
 * What cleanup is told by its parameters, in the form that it works with.
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import type { Settings } from "../../lib/config/parameters.ts";
// Mail
import type { MimeFault, MimeOptions } from "../../lib/mail/mime_structure.ts";
// Server skeleton
import type { CheckClass, CheckRules } from "../../lib/proto/content_checks.ts";
// This program
import type { SERVICE } from "./service.ts";

/** The settings that cleanup is told. */
export type CleanupSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** The parameters that name tables of checks. */
type CheckParameter = "header_checks" | "mime_header_checks" | "nested_header_checks" | "body_checks";

/** What is looked at in mail from outside. */
export interface InspectionRules extends CheckRules {
  readonly mime: MimeOptions;
}

/** What cleanup is told by its parameters. */
export interface CleanupRules {
  readonly alwaysAddMissingHeaders: boolean;
  readonly alwaysBcc: string;
  readonly duplicateFilterLimit: number;
  readonly longIds: boolean;
  readonly originalRecipient: boolean;
  readonly headerTokenLimit: number;
  readonly fromFormat: "standard" | "obsolete";
  /** How the header is read when nothing behind it matters. */
  readonly headerOnly: MimeOptions;
  readonly hopcountLimit: number;
  /** Undefined when nothing in a message is looked at, so that its body goes through as it is. */
  readonly inspection: InspectionRules | undefined;
  /** Bytes; longer header lines become several records. */
  readonly lineLengthLimit: number;
  readonly dropHeaders: ReadonlySet<string>;
  /** Headers that filters make are looked up (milter_header_checks). */
  readonly checksMilterHeaders: boolean;
  /** Bytes; 0: no limit. */
  readonly messageSizeLimit: number;
  /** Seconds after which the sender is told of a delay; 0: never. */
  readonly delayWarningTime: number;
  readonly hostName: string;
  /** Headers of mail from elsewhere are completed too (remote_header_rewrite_domain). */
  readonly rewritesRemote: boolean;
  readonly smtputf8: boolean;
  /** "TLS-Required: no" is heard (tls_required_enable). */
  readonly heedsTlsRequired: boolean;
  /** REQUIRETLS stands in a header too (requiretls_esmtp_header). */
  readonly notesRequireTls: boolean;
  readonly undisclosedRecipients: string;
  /** verp_delimiter_filter */
  readonly verpFilter: string;
}

/** The rules that the settings make. */
export function rulesFrom(settings: CleanupSettings): CleanupRules {
  return {
    alwaysAddMissingHeaders: settings.always_add_missing_headers,
    alwaysBcc: settings.always_bcc,
    duplicateFilterLimit: settings.duplicate_filter_limit,
    longIds: settings.enable_long_queue_ids,
    originalRecipient: settings.enable_original_recipient,
    headerTokenLimit: settings.header_address_token_limit,
    fromFormat: settings.header_from_format as "standard" | "obsolete",
    headerOnly: { ...mimeOptions(settings, new Set()), parts: false },
    hopcountLimit: settings.hopcount_limit,
    inspection: inspectionFrom(settings),
    lineLengthLimit: settings.line_length_limit,
    checksMilterHeaders: settings.milter_header_checks.length > 0,
    dropHeaders: new Set(settings.message_drop_headers.map((name) => asciiLower(name))),
    messageSizeLimit: settings.message_size_limit,
    delayWarningTime: settings.delay_warning_time,
    hostName: settings.myhostname,
    rewritesRemote: settings.remote_header_rewrite_domain !== "",
    smtputf8: settings.smtputf8_enable,
    heedsTlsRequired: settings.tls_required_enable,
    notesRequireTls: settings.requiretls_enable && settings.requiretls_esmtp_header,
    undisclosedRecipients: settings.undisclosed_recipients_header,
    verpFilter: settings.verp_delimiter_filter,
  };
}

function inspectionFrom(settings: CleanupSettings): InspectionRules | undefined {
  const tables: [CheckClass, CheckParameter][] = [
    ["primary", "header_checks"],
    ["multipart", "mime_header_checks"],
    ["nested", "nested_header_checks"],
    ["body", "body_checks"],
  ];
  const checks = new Map(tables.filter(([, parameter]) => settings[parameter].length > 0));
  const faults = strictFaults(settings);
  // As Postfix has it: who does not look into headers does not care how deep they are.
  const looks = faults.size > 0 || tables.some(([where]) => where !== "body" && checks.has(where));
  if (looks && !settings.disable_mime_input_processing) faults.add("nesting");
  if (checks.size === 0 && faults.size === 0) return undefined;
  return { checks, bodyCheckSize: settings.body_checks_size_limit, mime: mimeOptions(settings, faults) };
}

function strictFaults(settings: CleanupSettings): Set<MimeFault> {
  const faults = new Set<MimeFault>();
  if (settings.disable_mime_input_processing) return faults;
  if (settings.strict_8bitmime || settings.strict_7bit_headers) faults.add("headerData");
  if (settings.strict_8bitmime || settings.strict_8bitmime_body) faults.add("bodyData");
  if (settings.strict_mime_encoding_domain) faults.add("encodingDomain");
  return faults;
}

function mimeOptions(settings: CleanupSettings, faults: ReadonlySet<MimeFault>): MimeOptions {
  return {
    headerLimit: settings.header_size_limit,
    parts: !settings.disable_mime_input_processing,
    nestingLimit: settings.mime_nesting_limit,
    boundaryLimit: settings.mime_boundary_length_limit,
    faults,
  };
}
