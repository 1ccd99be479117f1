import assert from "node:assert/strict";
import {
  DateClock,
  formatIdDate,
  formatMailDate,
  formatMboxDate,
  formatQueueDate,
} from "../../../lib/mail/date.ts";
import { zoneOffset } from "../../../lib/mail/date.ts";

/** Runs a formatter in a process of its own, as a time zone holds for a whole process. */
async function inZone(zone: string, expression: string): Promise<string> {
  const module = new URL("../../../lib/mail/date.ts", import.meta.url).href;
  const code = `import * as d from ${JSON.stringify(module)}; console.log(${expression});`;
  const args = ["eval", "--no-config", "--no-lock", code];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args, env: { TZ: zone, NO_COLOR: "1" } })
    .output();
  return new TextDecoder().decode(stdout).trimEnd();
}

const TIME = Date.UTC(2026, 10, 3, 5, 6, 2);

Deno.test("RFC 5322 section 3.3: a date has day name, day, month, year, time, zone, and Postfix's comment", async () => {
  assert.equal(await inZone("UTC", `d.formatMailDate(${TIME})`), "Tue,  3 Nov 2026 05:06:02 +0000 (UTC)");
  assert.equal(
    await inZone("America/New_York", `d.formatMailDate(${TIME})`),
    "Tue,  3 Nov 2026 00:06:02 -0500 (EST)",
  );
  assert.equal(await inZone("Asia/Kolkata", `d.formatMailDate(${TIME})`), "Tue,  3 Nov 2026 10:36:02 +0530");
  assert.equal(
    await inZone("UTC", `d.formatMailDate(${TIME + 20 * 86400e3})`),
    "Mon, 23 Nov 2026 05:06:02 +0000 (UTC)",
  );
});

Deno.test("a queue listing and an mbox have the date in the form of ctime", async () => {
  assert.equal(await inZone("UTC", `d.formatQueueDate(${TIME})`), "Tue Nov  3 05:06:02");
  assert.equal(await inZone("UTC", `d.formatMboxDate(${TIME})`), "Tue Nov  3 05:06:02 2026");
});

Deno.test("a date can be read back by any reader of dates", () => {
  for (const time of [0, TIME, Date.UTC(1999, 11, 31, 23, 59, 59), Date.UTC(2028, 1, 29)]) {
    assert.equal(Date.parse(formatMailDate(time)), time);
    assert.equal(Date.parse(formatMboxDate(time)), time);
    assert.ok(formatMboxDate(time).startsWith(formatQueueDate(time)));
  }
});

Deno.test("message ids hold fourteen digits of UTC", () => {
  assert.equal(formatIdDate(TIME), "20261103050602");
  assert.equal(formatIdDate(Date.UTC(2031, 11, 31, 23, 59, 59, 999)), "20311231235959");
});

Deno.test("offsets have a sign, two digits of hours and two of minutes", () => {
  assert.deepEqual([0, 90, -90, 330, -720, 840, -1].map(zoneOffset), [
    "+0000",
    "+0130",
    "-0130",
    "+0530",
    "-1200",
    "+1400",
    "-0001",
  ]);
});

Deno.test("a clock gives the date of the time that it is asked for", () => {
  const clock = new DateClock();
  for (const time of [TIME, TIME + 999, TIME + 1000, TIME]) {
    assert.equal(clock.format(time), formatMailDate(time));
  }
});
