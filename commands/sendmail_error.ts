/**
 * The error that ends sendmail, with the exit status that its callers know.
 *
 * @module
 */
import { CommandError } from "./command.ts";

/** Ends sendmail: the text goes to standard error as `sendmail: fatal: TEXT`. */
export class SendmailError extends CommandError {
  override name = "SendmailError";

  /** @param status a value of EX */
  constructor(status: number, text: string) {
    super(`fatal: ${text}`, status);
  }
}
