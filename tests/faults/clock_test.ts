import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { sendMessage, SmtpClient } from "../dialogues/smtp_client.ts";
import { Postern } from "../support/postern.ts";
import { SteppedClock } from "../support/stepped_clock.ts";
import { testNeeding } from "../support/tools.ts";

/** FLT-34, FLT-35: the time of day jumps while everything runs. */

const DAY = 86_400;

testNeeding(
  ["clock"],
  "the clock steps a day ahead, back, and another day back: no mail is lost, late or refused",
  async () => {
    using clock = new SteppedClock();
    await using postern = await Postern.start({
      runtime: clock.runtime,
      settings: {
        queue_run_delay: '"1s"',
        minimal_backoff_time: '"300s"',
        notify_classes: "[]",
        transport_maps: '["inline:{ {later.test = retry:4.0.0 later} {far.test = discard:} }"]',
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      },
    });
    let count = 0;
    const send = async () => {
      assert.match(await sendMessage(postern.port, { recipients: ["box@example.test"] }), /^250 /);
      await postern.mail("box", ++count);
    };
    const attempts = () => postern.log().match(/to=<put@later\.test>.*status=deferred/g)?.length ?? 0;
    await send();
    assert.match(await sendMessage(postern.port, { recipients: ["put@later.test"] }), /^250 /);
    assert.ok(await until(() => attempts() === 1), postern.log());

    for (const [offset, least] of [[DAY, 2], [0, 3], [-DAY, 4]] as const) {
      using open = await SmtpClient.connect(postern.port);
      await open.reply();
      await open.says("EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<box@example.test>");
      assert.ok(await until(() => postern.queued("deferred").length === 1));
      clock.step(offset);
      // What was put off is due, or its time is so far ahead that only a wrong clock can have set it.
      assert.ok(await until(() => attempts() >= least), `${offset}\n${postern.log()}`);
      assert.match(
        await open.says("DATA", "Subject: over the step\r\n\r\ntext\r\n."),
        /250 2\.0\.0 Ok: queued/,
      );
      await postern.mail("box", ++count);
      await send();
    }
    assert.doesNotMatch(postern.log(), /killed by signal|fatal|panic|timeout after/);
    await postern.stop();
    postern.set({ transport_maps: '["inline:{ {later.test = discard:} }"]' });
    await postern.start();
    assert.equal((await postern.run(["postqueue", "-f"])).status, 0);
    await postern.untilEmpty();
    assert.match(postern.log(), /to=<put@later\.test>.*status=sent/);
    assert.equal(postern.mailbox("box").length, count);
  },
);
