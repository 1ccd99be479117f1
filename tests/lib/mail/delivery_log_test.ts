/** The agents' log line. @module */
import assert from "node:assert/strict";
import {
  type DeliveryLogEntry,
  deliveryLogLine,
  formatDelay,
  formatDelays,
} from "../../../lib/mail/delivery_log.ts";

// As Postfix's format_tv(3) prints them with two significant digits.
const DELAYS: readonly (readonly [milliseconds: number, resolution: number, text: string])[] = [
  [0, 2, "0"],
  [-5000, 2, "0"],
  [4, 2, "0"],
  [5, 2, "0.01"],
  [12, 2, "0.01"],
  [120, 2, "0.12"],
  [100, 2, "0.1"],
  [994, 2, "0.99"],
  [999, 2, "1"],
  [1000, 2, "1"],
  [1234, 2, "1.2"],
  [9960, 2, "10"],
  [12_345, 2, "12"],
  [99_600, 2, "100"],
  [123_456, 2, "123"],
  [172_800_000, 2, "172800"],
  [1234, 0, "1"],
  [12, 3, "0.012"],
  [1.5, 6, "0.0015"],
];

for (const [milliseconds, resolution, text] of DELAYS) {
  Deno.test(`${milliseconds} ms with resolution ${resolution} is logged as ${text}`, () => {
    assert.equal(formatDelay(milliseconds, resolution), text);
  });
}

const TIMES = { arrival: 1000, active: 1100, started: 1350, connected: 1380, done: 2500 };

Deno.test("delays= are before qmgr, in qmgr, connection set-up and transmission", () => {
  assert.equal(formatDelays(TIMES, 2), "delay=1.5, delays=0.1/0.25/0.03/1.1");
  assert.equal(formatDelays({ ...TIMES, connected: undefined }, 2), "delay=1.5, delays=0.1/0.25/1.1/0");
});

const ENTRY: DeliveryLogEntry = {
  queueId: "4ZqYkT1zzz",
  recipient: "user@example.test",
  originalRecipient: "",
  relay: "mx.example.test[192.0.2.1]:25",
  times: TIMES,
  status: "2.0.0",
  result: "sent",
  text: "250 2.0.0 Ok: queued as X",
};

const LINES: readonly (readonly [name: string, entry: Partial<DeliveryLogEntry>, part: string])[] = [
  [
    "a plain delivery",
    {},
    "4ZqYkT1zzz: to=<user@example.test>, relay=mx.example.test[192.0.2.1]:25, delay=1.5, delays=0.1/0.25/0.03/1.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as X)",
  ],
  [
    "another original recipient",
    { originalRecipient: "alias@here.test" },
    "to=<user@example.test>, orig_to=<alias@here.test>, relay=",
  ],
  ["the same in other letters", { originalRecipient: "USER@example.test" }, "to=<user@example.test>, relay="],
  ["a reused connection", { connectionUses: 3 }, "]:25, conn_use=3, delay="],
  ["the first use", { connectionUses: 1 }, "]:25, delay="],
  ["a local part that needs quotes", { recipient: "a b@example.test" }, 'to=<"a b"@example.test>, '],
  ["control characters", { recipient: "a\r\nb@x", text: "x\ny\x1b" }, "status=sent (x?y?)"],
];

for (const [name, entry, part] of LINES) {
  Deno.test(`the log line of ${name}`, () => {
    const line = deliveryLogLine({ ...ENTRY, ...entry });
    assert.ok(line.includes(part), line);
    for (const char of line) assert.ok(char >= " " && char <= "~");
  });
}

Deno.test("info_log_address_format = internal leaves the quotes out", () => {
  const line = deliveryLogLine({ ...ENTRY, recipient: "a b@x.test" }, {
    resolution: 2,
    addressFormat: "internal",
  });
  assert.ok(line.includes("to=<a b@x.test>"));
});
