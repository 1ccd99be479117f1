/**
 * Posts one message into QUEUE_DIRECTORY as whoever runs it; bundled, so that a user without a module cache can.
 *
 * @module
 */
import { MaildropFile } from "../../commands/maildrop_file.ts";
import { RECORD } from "../../lib/mail/record.ts";

const file = new MaildropFile({
  queue_directory: Deno.args[0]!,
  message_size_limit: 0,
  enable_long_queue_ids: false,
});
file.record(RECORD.FROM, "nobody");
file.record(RECORD.END, "");
console.log(await file.commit());
