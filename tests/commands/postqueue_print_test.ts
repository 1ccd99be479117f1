import assert from "node:assert/strict";
import {
  JsonPrinter,
  type PrintedMessage,
  type QueuePrinter,
  TablePrinter,
} from "../../commands/postqueue_print.ts";

const BUSY = "host 127.0.0.24[127.0.0.24] said: 450 4.2.1 <temp> bz (in reply to RCPT TO command)";
// Local time, as the listing is in local time.
const AT = new Date(2026, 10, 23, 5, 56, 38).getTime();

function message(changes: Partial<PrintedMessage> = {}): PrintedMessage {
  return {
    queueName: "deferred",
    queueId: "19E8020C1D3",
    arrivalTime: AT,
    size: 276,
    forcedExpire: false,
    sender: "me@box.test",
    recipients: [to("tempx@smtp.test", BUSY)],
    ...changes,
  };
}

function to(address: string, delayReason = "", bounceReason = "", originalRecipient = "") {
  return { address, delayReason, bounceReason, originalRecipient };
}

function print(
  make: (out: (text: string) => void) => QueuePrinter,
  messages: readonly PrintedMessage[],
): string {
  let text = "";
  const printer = make((more) => text += more);
  for (const one of messages) printer.message(one);
  printer.end();
  return text;
}

const table = (messages: readonly PrintedMessage[], long = false) =>
  print((out) => new TablePrinter(long, "MAILER-DAEMON", out), messages);
const json = (messages: readonly PrintedMessage[]) =>
  print((out) => new JsonPrinter("MAILER-DAEMON", out), messages);

Deno.test("the table is what Debian's postqueue -p prints of such a queue", () => {
  const recipients = [
    to("tempx@smtp.test", BUSY),
    to("a@elsewhere.test", "nobody is out there"),
    to("a b@nowhere.test", "nobody is out there"),
  ];
  assert.equal(
    table([message({ recipients })]),
    `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
19E8020C1D3     276 Mon Nov 23 05:56:38  me@box.test
(${BUSY})
                                         tempx@smtp.test
                                                         (nobody is out there)
                                         a@elsewhere.test
                                         "a b"@nowhere.test

-- 0 Kbytes in 1 Request.
`,
  );
});

Deno.test("long queue ids have wider columns", () => {
  const shown = table([message({ queueId: "4jXwD359PfzJ9Qy", size: 5332, sender: "" })], true);
  assert.equal(
    shown,
    `----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
4jXwD359PfzJ9Qy       5332 Mon Nov 23 05:56:38 MAILER-DAEMON
(${BUSY})
                                               tempx@smtp.test

-- 5 Kbytes in 1 Request.
`,
  );
});

Deno.test("marks: active, hold, to expire", () => {
  const marks = [["active", false, "*"], ["hold", false, "!"], ["hold", true, "#"], [
    "incoming",
    false,
    " ",
  ]] as const;
  for (const [queueName, forcedExpire, mark] of marks) {
    const shown = table([message({ queueName, forcedExpire, recipients: [] })]);
    assert.equal(shown.split("\n")[1]!.slice(0, 12), `19E8020C1D3${mark}`);
  }
});

Deno.test("an empty queue", () => {
  assert.equal(table([]), "Mail queue is empty\n");
  assert.equal(json([]), "");
});

Deno.test("messages are set apart and counted, pieces of one are put together, sizes are added once", () => {
  const shown = table([
    message({ size: 1000 }),
    message({ size: 1000, recipients: [to("b@x", BUSY)] }),
    message({ size: 1048, queueId: "A1B2C3D4" }),
  ]);
  assert.equal(shown.split("\n").filter((line) => line === "").length, 3); // between, before the footer, at the end
  assert.ok(shown.endsWith("\n\n-- 2 Kbytes in 2 Requests.\n"));
  assert.equal(shown.split(`(${BUSY})`).length, 3);
});

Deno.test("a recipient without a reason after one with a reason is not listed under the wrong one", () => {
  const shown = table([message({ recipients: [to("a@x", BUSY), to("b@x")] })]);
  assert.ok(shown.includes(`${" ".repeat(76 - 18)}(reason unavailable)\n`));
});

Deno.test("one JSON object per line, as Debian's postqueue -j prints it", () => {
  const recipients = [to('a "b@x', "busy\n"), to("c@x", "", "gone", "alias@x"), to("")];
  const arrival = Math.floor(AT / 1000);
  assert.equal(
    json([
      message({ recipients: recipients.slice(0, 1) }),
      message({ recipients: recipients.slice(1) }),
      message({
        queueId: "A1B2",
        queueName: "hold",
        forcedExpire: true,
        sender: "",
        recipients: [],
      }),
    ]),
    `{"queue_name": "deferred", "queue_id": "19E8020C1D3", "arrival_time": ${arrival}, "message_size": 276, ` +
      `"forced_expire": false, "sender": "me@box.test", "recipients": [` +
      `{"address": "\\"a \\\\\\"b\\"@x", "delay_reason": "busy?"}, ` +
      `{"orig_address": "alias@x", "address": "c@x", "bounce_reason": "gone"}, {"address": "MAILER-DAEMON"}]}\n` +
      `{"queue_name": "hold", "queue_id": "A1B2", "arrival_time": ${arrival}, "message_size": 276, ` +
      `"forced_expire": true, "sender": "MAILER-DAEMON", "recipients": []}\n`,
  );
});

Deno.test("what strangers sent cannot steer the terminal", () => {
  const hostile = "\x1b[2J\u202ex\r\n@x";
  for (
    const shown of [
      table([message({ sender: hostile, recipients: [to(hostile, hostile)] })]),
      json([message({ sender: hostile, recipients: [to(hostile, hostile)] })]),
    ]
  ) assert.ok(!["\x1b", "\r", "\u202e"].some((one) => shown.includes(one)));
});
