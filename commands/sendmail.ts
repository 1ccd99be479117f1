/**
 * # sendmail
 *
 * Posts a message as sendmail does, and stands for mailq and newaliases.
 *
 * ## Synopsis
 * `sendmail [OPTION ...] [RECIPIENT ...]`
 *
 * ## Description
 * Reads a message from standard input up to its end or a line with only a dot, and leaves it in maildrop/, where the
 * pickup daemon finds it. Exit status 0 means that the message is on the disk, complete. It needs no running mail
 * system: what was posted meanwhile is delivered after the start.
 *
 * Lines may end with LF or CR LF (`sendmail_fix_line_endings`). Lines in front that begin with `From ` or `>From `,
 * as a mailbox file has them, are left out.
 *
 * - `-t` recipients are those of To:, Cc: and Bcc:, with those of the command line; Bcc: is taken out. If there is
 *   any Resent-To:, Resent-Cc: or Resent-Bcc:, these count instead.
 * - `-f ADDRESS`, `-r ADDRESS` sender; `<>` for none. Default: the login name.
 * - `-F NAME` full name for a From: header that has to be added. Default: `NAME`, else that of the password file.
 * - `-i`, `-oi` a line with only a dot is text.
 * - `-B 7BIT|8BITMIME`, `-N never|success,failure,delay`, `-R full|hdrs`, `-V ENVID` as their names say (RFC 3461).
 * - `-O requiretls=yes` the message goes only over TLS, to servers with REQUIRETLS (RFC 8689; smtp_requiretls_policy);
 *   `-O smtputf8=yes` it needs SMTPUTF8 where an address or a header is not ASCII.
 * - `-XV`, `-XVxy` VERP: each recipient's copy comes from a sender that names the recipient, with
 *   `default_verp_delimiters` or with the two characters given. `-V` and `-V+=` in the old form mean the same.
 * - `-v` a report of the first attempt is mailed to the sender.
 * - `-bv` no message is read and none delivered: whether the recipients could be delivered to is mailed to the sender.
 * - `-G` mail passed on for others: addresses are not completed with local names.
 * - `-bm` post (the default); `-bs` SMTP on standard input and output; `-bp` list the queue (mailq); `-bi`, `-I`,
 *   `-oAFILE` check the alias tables (newaliases); `-q`, `-qIID`, `-qRSITE` deliver the queue, a message, a site now.
 * - `-C PATH` directory with main.toml, or the path of main.toml.
 * - `-A -L -U -X -a -c -e -h -m -o -p -x`, other options of `-O`, and their values are taken and mean nothing.
 *
 * `-bs` passes the conversation on to the SMTP server of the running mail system: over its unix socket if
 * master.toml has one, else over loopback to its first TCP port.
 *
 * ## Security
 * Runs with the rights of its caller and no others, so that any option, `-C` too, can do no more than the caller can.
 * The message may come from anybody. Addresses with NUL, CR or LF are refused. Callers must put user data behind
 * `--`. In `-bs` mode the server sees the address of this host and not the uid of the caller.
 *
 * ## Standards
 * RFC 5322 (headers for -t), RFC 3461 (DSN parameters).
 *
 * ## Diagnostics
 * Errors go to standard error as `sendmail: fatal: ...`. Exit status: 0 the message is posted; 64 wrong command
 * line; 65 wrong address or no recipient; 67 the caller's uid has no login; 69 the message is too big; 75 trouble
 * that may pass. After any other status than 0 nothing of the message is left.
 *
 * ## Parameters
 * authorized_submit_users, default_verp_delimiters, double_bounce_sender,
 * empty_address_local_login_sender_maps_lookup_key, enable_long_queue_ids, line_length_limit, local_login_sender_maps,
 * mail_owner, message_size_limit, owner_request_special, pickup_service_name, queue_directory, recipient_delimiter,
 * sendmail_fix_line_endings, trigger_timeout, verp_delimiter_filter.
 *
 * ## Known limits
 * No daemon mode (-bd, -bl). A header with a
 * recipient that is no address is an error (65) where Postfix tries to make something of it.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { findLogin } from "../lib/safe/login.ts";
import { environmentVariable, ownUid } from "../lib/safe/process.ts";
import { exitProcess, onSignal } from "../lib/safe/stdio.ts";
// Utility
import { printable } from "../lib/vstring/printable.ts";
// Wire protocols
import { PICKUP } from "../lib/proto/protocols.ts";
// Server skeleton
import { allowsEverybody } from "../lib/server/submit_access.ts";
// This program
import { type Command, type CommandEnv, makeEnv } from "./command.ts";
import { type MaildropFile, MessageTooBigError, reasonOf } from "./maildrop_file.ts";
import { SendmailError } from "./sendmail_error.ts";
import { readSendmailOptions, type SendmailPlan } from "./sendmail_options.ts";
import { relaySmtp } from "./sendmail_smtp.ts";
import { type Poster, postMessage } from "./sendmail_submit.ts";
import { EX } from "./sysexits.ts";
import { sendTrigger } from "./trigger.ts";

/** The programs that sendmail stands for, loaded when one is asked for: posting a message must start quickly. */
const OTHERS = {
  mailq: () => import("./mailq.ts"),
  postqueue: () => import("./postqueue.ts"),
  newaliases: () => import("./newaliases.ts"),
} as const;

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const plan = readSendmailOptions(args);
  for (const warning of plan.warnings) env.err(`${env.programName}: warning: ${warning}\n`);
  const configured = withConfiguration(env, plan.configDirectory);
  switch (plan.mode.kind) {
    case "deliver":
      return await deliver(plan, configured);
    case "smtp":
      return await relaySmtp(configured);
    case "list":
      return await runOther(OTHERS.mailq, [], configured);
    case "queue":
      return await runOther(OTHERS.postqueue, plan.mode.options, configured);
    case "aliases": {
      const { database } = plan.mode;
      return await runOther(OTHERS.newaliases, database === "" ? [] : [database], configured);
    }
    case "nothing":
      return EX.OK;
    default:
      return plan.mode satisfies never;
  }
}

async function runOther(
  load: () => Promise<{ readonly run: Command }>,
  args: readonly string[],
  env: CommandEnv,
): Promise<number> {
  const other = await load();
  return await other.run(args, env);
}

/** The surroundings with the configuration directory of -C. */
function withConfiguration(env: CommandEnv, path: string | undefined): CommandEnv {
  if (path === undefined) return env;
  const file = "/main.toml";
  return makeEnv(env.programName, path.endsWith(file) ? path.slice(0, -file.length) : path);
}

async function deliver(plan: SendmailPlan, env: CommandEnv): Promise<number> {
  const { settings } = env.config();
  let file: MaildropFile | undefined;
  // What an interrupted sendmail wrote is no message: it goes away with it.
  for (const name of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    onSignal(name, () => {
      file?.abandon();
      exitProcess(EX.TEMPFAIL);
    });
  }
  const poster = findPoster();
  // Loaded where it is needed, as the other programs are.
  const access = allowsEverybody(settings)
    ? undefined
    : (await import("./submit_access.ts")).submitAccess(settings);
  await access?.demandPost();
  try {
    const demandSender = async (sender: string) => await access?.demandSender(sender);
    await postMessage(plan, poster, env.stdin(), settings, (opened) => file = opened, demandSender);
  } catch (error) {
    throw toSendmailError(error, poster.login);
  }
  if (plan.reported || plan.verified) {
    env.out(`Mail Delivery Status Report will be mailed to <${printable(plan.sender ?? poster.login)}>.\n`);
  }
  const path = `${settings.queue_directory}/public/${settings.pickup_service_name}`;
  const triggered = await sendTrigger(PICKUP, path, "trigger", {}, settings.trigger_timeout);
  if (triggered.kind === "failed") {
    env.err(`${env.programName}: warning: mail system is not running: the message waits in the queue\n`);
  }
  return EX.OK;
}

function findPoster(): Poster {
  const uid = ownUid();
  const login = findLogin(uid);
  if (login === undefined) throw new SendmailError(EX.NOUSER, `no login name found for user ID ${uid}`);
  return { login: login.name, fullName: environmentVariable("NAME") ?? login.fullName };
}

/** What the user is told of a failure, and the status that the caller sees. */
function toSendmailError(error: unknown, login: string): unknown {
  const who = `${login}(${ownUid()})`;
  if (error instanceof SendmailError) return error;
  if (error instanceof MessageTooBigError) {
    return new SendmailError(EX.UNAVAILABLE, `${who}: message file too big`);
  }
  if (error instanceof SystemError) {
    return new SendmailError(EX.TEMPFAIL, `${who}: queue file write error: ${reasonOf(error)}`);
  }
  return error;
}
