/**
 * # postdrop
 *
 * Writes a message in the format of the queue into maildrop/.
 *
 * ## Synopsis
 * `postdrop [-rv] [-c CONF_DIR]`
 *
 * ## Description
 * Reads records (postfix-map section 2.4) from standard input up to the end record and leaves them in maildrop/ as
 * sendmail does: complete, synced, then named. Programs that speak Postfix's protocol with its postdrop can use
 * this one: Debian's sendmail does in the tests.
 *
 * The protocol on standard output, in attributes that NUL bytes end: first `protocol=postdrop_protocol` and
 * `queue_id=` with a name for the file, at the end `status=` (CLEANUP_STATUS bits) and `reason=`.
 *
 * - `-r` is taken and means nothing: there is no other protocol
 * - `-c CONF_DIR` directory with main.toml
 *
 * ## Security
 * Reads what any user pipes into it. Runs with its caller's rights: the owner of the file that it makes is the
 * caller, and pickup checks every record again. Records that a user may not send end it.
 *
 * ## Diagnostics
 * Errors go to standard error as `postdrop: fatal: ...` or `postdrop: warning: ...`. Status 0 only after the message
 * is on the disk. When the input ends before the end record, or on SIGHUP, SIGINT, SIGTERM, nothing is left.
 *
 * ## Parameters
 * authorized_submit_users, double_bounce_sender, empty_address_local_login_sender_maps_lookup_key,
 * enable_long_queue_ids, line_length_limit, local_login_sender_maps, mail_owner, message_size_limit,
 * owner_request_special, pickup_service_name, queue_directory, recipient_delimiter, trigger_timeout.
 *
 * ## Known limits
 * Not set-group-id: maildrop/ must be writable for who posts. The name that is announced first is not the file's id: it
 * gets that when it is complete.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { ownUid } from "../lib/safe/process.ts";
import { exitProcess, onSignal } from "../lib/safe/stdio.ts";
// Utility
import { encodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { BadRecordError } from "../lib/mail/record.ts";
// Wire protocols
import { CLEANUP_STATUS, PICKUP } from "../lib/proto/protocols.ts";
// Server skeleton
import { allowsEverybody } from "../lib/server/submit_access.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { MaildropFile, MessageTooBigError, reasonOf } from "./maildrop_file.ts";
import { parseOptions } from "./options.ts";
import { copyRecords } from "./postdrop_records.ts";
import { EX } from "./sysexits.ts";
import { sendTrigger } from "./trigger.ts";

/** Runs the command. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "c:rv");
  if (parsed.kind === "invalid" || parsed.operands.length > 0) {
    throw new CommandError("fatal: usage: postdrop [-rv] [-c config_dir]", EX.USAGE);
  }
  const directory = parsed.options.findLast((option) => option.letter === "c")?.value;
  const { settings } = (directory === undefined ? env : makeEnv(env.programName, directory)).config();
  const access = allowsEverybody(settings)
    ? undefined
    : (await import("./submit_access.ts")).submitAccess(settings);
  await access?.demandPost();
  const file = openFile(settings);
  for (const name of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    onSignal(name, () => {
      file.abandon();
      exitProcess(EX.TEMPFAIL);
    });
  }
  env.writeBytes(attributes(["protocol", "postdrop_protocol"], ["queue_id", file.name]));
  const demandSender = async (sender: string) => await access?.demandSender(sender);
  const { status, reason } = await take(file, env, settings.line_length_limit, demandSender);
  if (status === CLEANUP_STATUS.OK) {
    const path = `${settings.queue_directory}/public/${settings.pickup_service_name}`;
    const triggered = await sendTrigger(PICKUP, path, "trigger", {}, settings.trigger_timeout);
    if (triggered.kind === "failed") {
      env.err(`${env.programName}: warning: cannot wake pickup: ${triggered.why}\n`);
    }
  } else env.err(`${env.programName}: warning: uid=${ownUid()}: ${reason}\n`);
  env.writeBytes(attributes(["status", String(status)], ["reason", reason]));
  return status === CLEANUP_STATUS.OK ? EX.OK : EX.TEMPFAIL;
}

function openFile(settings: ConstructorParameters<typeof MaildropFile>[0]): MaildropFile {
  try {
    return new MaildropFile(settings);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new CommandError(`fatal: ${error.message}`, EX.TEMPFAIL);
  }
}

/** Takes the message; whatever goes wrong leaves nothing behind. */
async function take(
  file: MaildropFile,
  env: CommandEnv,
  recordLimit: number,
  demandSender: (sender: string) => Promise<void>,
): Promise<{ readonly status: number; readonly reason: string }> {
  try {
    await copyRecords(env.stdin(), file, recordLimit, demandSender);
    await file.commit();
    return { status: CLEANUP_STATUS.OK, reason: "" };
  } catch (error) {
    file.abandon();
    if (error instanceof BadRecordError) return { status: CLEANUP_STATUS.BAD, reason: error.message };
    if (error instanceof MessageTooBigError) return { status: CLEANUP_STATUS.SIZE, reason: error.message };
    if (error instanceof SystemError) return { status: CLEANUP_STATUS.WRITE, reason: reasonOf(error) };
    throw error;
  }
}

/** One message of the protocol: names and values that NUL ends, and an empty name at its end. */
function attributes(...pairs: readonly (readonly [string, string])[]): Uint8Array {
  return encodeText(pairs.map(([name, value]) => `${name}\0${value}\0`).join("") + "\0");
}
