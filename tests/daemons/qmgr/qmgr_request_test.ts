/** What an agent is told of a message. @module */
import assert from "node:assert/strict";
import { deliveryRequest } from "../../../daemons/qmgr/qmgr_request.ts";
import type { Entry } from "../../../daemons/qmgr/qmgr_message.ts";
import { SENDOPT_ALL, SENDOPT_REQUIRETLS } from "../../../lib/mail/send_options.ts";

function entry(sendOptions: number): Entry {
  const size = { sendOptions, dataOffset: 0, contentLength: 1 };
  const envelope = {
    size,
    attributes: new Map(),
    sender: "a@b.test",
    verp: "",
    envelopeId: "",
    ret: 0,
    arrivalTime: 0,
  };
  return {
    message: { id: "1234ABCD", envelope, activeTime: 0, probe: false },
    recipients: [],
    queue: { nexthop: "example.test" },
  } as unknown as Entry;
}

Deno.test("an agent is told what the size record says that the message demands, and no bit that nobody knows", () => {
  assert.equal(deliveryRequest(entry(SENDOPT_REQUIRETLS)).sendOptions, SENDOPT_REQUIRETLS);
  assert.equal(deliveryRequest(entry(0xffff)).sendOptions, SENDOPT_ALL);
});
