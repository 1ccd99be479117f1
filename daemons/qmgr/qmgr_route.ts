/**
 * Where a recipient's mail goes: asked of trivial-rewrite, or remembered.
 */
// Mail
import type { EnvelopeRecipient } from "../../lib/mail/queue_file.ts";
// Server skeleton
import type { ResolveOutcome, RewriteClient } from "../../lib/proto/rewrite_client.ts";
// This program
import type { ActiveMessage } from "./qmgr_message.ts";
import { isProbe } from "./qmgr_notice.ts";

/** The route of a recipient, of the redirection in its place, or of a probe; at once where it is known. */
export function findRoute(
  rewrite: RewriteClient,
  message: ActiveMessage,
  recipient: EnvelopeRecipient,
): ResolveOutcome | Promise<ResolveOutcome> {
  const { sender, redirect } = message.envelope;
  const address = redirect === "" ? recipient.address : redirect;
  if (isProbe(message)) return rewrite.resolveProbe(sender, address);
  return rewrite.cachedResolve(sender, address) ?? rewrite.resolve(sender, address);
}
