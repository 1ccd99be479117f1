/**
 * The Received: header of locally posted mail.
 *
 * @module
 */
// Mail
import { formatMailDate } from "../../lib/mail/date.ts";

/**
 * The lines of the header: who took the message from whom, under which id, when.
 *
 * @param uid owner of the file, the sender's proven identity
 * @param time milliseconds since 1970
 */
export function receivedHeader(
  settings: { readonly myhostname: string; readonly mail_name: string },
  uid: number,
  queueId: string,
  time: number,
): readonly string[] {
  // RFC 5321 section 4.4: a system that takes a message into the mail system adds a trace line at the top.
  return [
    `Received: by ${settings.myhostname} (${settings.mail_name}, from userid ${uid})`,
    `\tid ${queueId}; ${formatMailDate(time)}`,
  ];
}
