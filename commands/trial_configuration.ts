/**
 * The trial's configuration: main.toml, the table of its mailboxes, and the services of conf/master.toml on the
 * trial's port.
 *
 * @module
 */
// Safe primitives
import { replaceFile } from "../lib/safe/file.ts";
import { ownGid, ownUid } from "../lib/safe/process.ts";
// Utility
import { encodeText } from "../lib/vstring/byte_builder.ts";
// This program
import MASTER_SAMPLE from "../conf/master.toml" with { type: "text" };

/** Domains whose every local part is a mailbox. */
export const TRIAL_DOMAINS = ["localhost", "example.test"] as const;

/** Where a trial keeps what, absolute paths. */
export interface TrialPaths {
  readonly root: string;
  readonly configuration: string;
  readonly queue: string;
  readonly mail: string;
  readonly log: string;
}

/** The paths below a root folder. */
export function trialPaths(root: string): TrialPaths {
  return {
    root,
    configuration: `${root}/conf`,
    queue: `${root}/queue`,
    mail: `${root}/mail`,
    log: `${root}/mail.log`,
  };
}

/** Writes the configuration; what was there is replaced. */
export async function writeTrialConfiguration(paths: TrialPaths, port: number): Promise<void> {
  const files = [
    ["main.toml", mainToml(paths)],
    ["master.toml", masterToml(port)],
    ["mailboxes", MAILBOXES],
  ] as const;
  for (const [name, text] of files) {
    await replaceFile(`${paths.configuration}/${name}`, encodeText(text), 0o644);
  }
}

/** The uid that the table of users gives. As root there is one identity too, and a table must not name root's. */
function mailboxUser(): { readonly uid: number; readonly gid: number } {
  return ownUid() === 0 ? { uid: 65534, gid: 65534 } : { uid: ownUid(), gid: ownGid() };
}

const MAILBOXES = `# Every local part is a mailbox, unless it begins with "unknown".
if !/^"?unknown/
/^.+@(localhost|example\\.test)$/ mailbox
endif
`;

function mainToml(paths: TrialPaths): string {
  const { uid, gid } = mailboxUser();
  const domains = TRIAL_DOMAINS.map((domain) => `"${domain}"`).join(", ");
  return `# Made by \`postern trial\`, and made anew at its next start.
queue_directory = "${paths.queue}"
maillog_file = "${paths.log}"
maillog_file_prefixes = ["${paths.root}"]

# No user of its own for the daemons: all run as whoever starts the trial, and the flags do the separating.
mail_owner = ""

myhostname = "localhost"
mydestination = []
alias_maps = []
local_recipient_maps = []

# Mailboxes below ${paths.mail}, one Maildir for each local part.
virtual_mailbox_domains = [${domains}]
virtual_mailbox_base = "${paths.mail}"
virtual_mailbox_maps = ["regexp:$config_directory/mailboxes"]
virtual_mailbox_path = "%u/"
virtual_uid_maps = ["static:${uid}"]
virtual_gid_maps = ["static:${gid}"]
virtual_minimum_uid = 1

# Nothing leaves this host.
smtpd_relay_restrictions = ["reject_unauth_destination"]
default_transport = "error:5.4.4 the trial sends nothing to other hosts"
smtpd_peername_lookup = false
`;
}

/** The services of the sample, with SMTP on the trial's port. */
export function masterToml(port: number): string {
  const line = 'name = "25"';
  if (MASTER_SAMPLE.split(line).length !== 2) {
    throw new Error(`Cannot make master.toml: the sample has no single ${line}`);
  }
  return MASTER_SAMPLE.replace(line, `name = "127.0.0.1:${port}"`);
}
