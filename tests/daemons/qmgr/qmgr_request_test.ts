/** What an agent is told of a message. @module */
import assert from "node:assert/strict";
import { deliveryRequest } from "../../../daemons/qmgr/qmgr_request.ts";
import type { Entry } from "../../../daemons/qmgr/qmgr_message.ts";
import {
  SENDOPT_SMTPUTF8_HEADER,
  SENDOPT_SMTPUTF8_RECIPIENT,
  SENDOPT_SMTPUTF8_REQUESTED,
  SENDOPT_SMTPUTF8_SENDER,
} from "../../../lib/mail/queue_file.ts";

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

Deno.test("RFC 6531 section 3.4: SMTPUTF8 goes on only with mail that has something that needs it", () => {
  const asked = (options: number) => deliveryRequest(entry(options)).smtputf8;
  assert.equal(asked(0), false);
  assert.equal(asked(SENDOPT_SMTPUTF8_REQUESTED), false);
  for (const bit of [SENDOPT_SMTPUTF8_HEADER, SENDOPT_SMTPUTF8_SENDER, SENDOPT_SMTPUTF8_RECIPIENT]) {
    assert.equal(asked(SENDOPT_SMTPUTF8_REQUESTED | bit), true);
    assert.equal(asked(bit), false);
  }
});
