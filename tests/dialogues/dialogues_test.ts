/** Every dialogue is held with Postern and, where there is one, with Debian's Postfix: only listed replies may differ. @module */
import assert from "node:assert/strict";
import { Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { testNeeding } from "../support/tools.ts";
import { allDialogues, type Dialogue, hold } from "./dialogue.ts";
import { toToml } from "./words.ts";

/** What both servers are told, beside the dialogue's own parameters. Clients on loopback are strangers. */
const SETTINGS: Readonly<Record<string, string>> = {
  myhostname: "mx.test",
  mydomain: "test",
  myorigin: "mx.test",
  mydestination: "mx.test, local.test",
  mynetworks: "192.0.2.0/24",
  relay_domains: "relay.test",
  local_recipient_maps: "inline:{alice=x, bob=x, postmaster=x}",
  default_transport: "discard",
  local_transport: "discard",
  relay_transport: "discard",
  smtpd_banner: "$myhostname ESMTP",
  smtpd_relay_restrictions: "permit_mynetworks, reject_unauth_destination",
  smtpd_discard_ehlo_keywords: "etrn, smtputf8, chunking",
  smtputf8_enable: "yes",
  strict_smtputf8: "yes",
  smtpd_error_sleep_time: "0",
  smtpd_forbid_unauth_pipelining: "yes",
  smtpd_forbid_bare_newline: "reject",
  smtpd_forbid_bare_newline_exclusions: "$mynetworks",
  message_size_limit: "100000",
};

/** Dialogues by what they configure: one server serves all that ask for the same. */
const GROUPS = new Map<string, Dialogue[]>();
for (const dialogue of allDialogues()) {
  const key = JSON.stringify([...dialogue.settings]);
  GROUPS.set(key, [...GROUPS.get(key) ?? [], dialogue]);
}

function settingsOf(dialogues: readonly Dialogue[]): Record<string, string> {
  return { ...SETTINGS, ...Object.fromEntries(dialogues[0]!.settings) };
}

for (const dialogues of GROUPS.values()) {
  const settings = settingsOf(dialogues);
  const names = dialogues.map(({ file }) => file.replace(".smtp", "")).join(", ");

  Deno.test(`Postern holds the dialogues ${names}`, async (context) => {
    const toml = Object.entries(settings).map(([name, value]) => [name, toToml(name, value)]);
    await using system = await Postern.start({ settings: Object.fromEntries(toml) });
    for (const dialogue of dialogues) {
      await context.step(dialogue.name, () => hold(dialogue, "postern", system.port));
    }
    assert.doesNotMatch(system.log(), /panic|fatal|security event/);
  });

  testNeeding(["root", "postfix"], `Postfix holds the dialogues ${names}`, async (context) => {
    await using postfix = await Postfix.start({
      settings,
    });
    for (const dialogue of dialogues) {
      await context.step(dialogue.name, () => hold(dialogue, "postfix", postfix.port));
    }
  });
}
