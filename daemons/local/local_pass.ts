/**
 * Passing a recipient on to another delivery agent: mailbox_transport, fallback_transport and their tables. The agent
 * gets the request as qmgr would make it, with this one recipient, and its answer is ours.
 *
 * @module
 */
// Mail
import { outcomeOf } from "../../lib/mail/mailbox_outcome.ts";
// Wire protocols
import { type IpcClient } from "../../lib/ipc/client.ts";
import { type DELIVERY } from "../../lib/proto/protocols.ts";
// Server skeleton
import {
  type DeliveryRecipient,
  type MailboxDeliveryJob,
  type RecipientOutcome,
} from "../../lib/server/mailbox_agent.ts";

/** Gives the client of a transport; undefined when master.toml has none of that name. */
export type Transports = (name: string) => IpcClient<typeof DELIVERY> | undefined;

const ACTIONS = ["delivered", "relayed", "expanded", "failed", "delayed"] as const;

/**
 * Has another agent deliver to an address.
 *
 * @param transport `name` or `name:nexthop`
 */
export async function passOn(
  transport: string,
  address: string,
  job: MailboxDeliveryJob,
  recipient: DeliveryRecipient,
  transports: Transports,
): Promise<RecipientOutcome> {
  const colon = transport.indexOf(":");
  const name = colon < 0 ? transport : transport.slice(0, colon);
  const nexthop = colon < 0 ? "" : transport.slice(colon + 1);
  if (name === job.agent.serviceName) return delayed(`mail transport "${name}" leads back to itself`);
  const client = transports(name);
  if (client === undefined) return delayed(`mail transport "${name}" is not available`);
  const request = {
    ...job.request,
    nexthop: nexthop === "" ? job.request.nexthop : nexthop,
    recipients: [{ ...recipient, address }],
  };
  const { promise, resolve } = Promise.withResolvers<RecipientOutcome>();
  let outcome: RecipientOutcome | undefined;
  const exchange = client.open(
    (reply) => {
      if (reply.is === "finished") return resolve(outcome ?? delayed("mail transport gave no answer"));
      const action = ACTIONS.find((one) => one === reply.action) ?? "delayed";
      const owner = reply.is === "ownedRecipient" ? { owner: reply.owner } : {};
      outcome = { result: reply.result, status: reply.status, reason: reply.reason, action, ...owner };
    },
    (error) => resolve(outcome ?? delayed(error.message)),
  );
  exchange.send("deliver", request);
  return await promise;
}

function delayed(why: string): RecipientOutcome {
  return { ...outcomeOf("4.3.0", why), action: "delayed" };
}
