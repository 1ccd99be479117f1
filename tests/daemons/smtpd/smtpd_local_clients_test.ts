import assert from "node:assert/strict";
import { LocalClients } from "../../../daemons/smtpd/smtpd_local_clients.ts";
import type { Peer } from "../../../lib/access/peer.ts";
import { MailHost } from "./mail_host.ts";
import { readQueueFile } from "./queued_message.ts";

const PEER: Peer = {
  name: "client.test",
  reverseName: "client.test",
  address: "198.51.100.9",
  port: 40_000,
  serverAddress: "192.0.2.1",
  serverPort: 25,
  nameTrouble: false,
  ours: false,
};

Deno.test("local_header_rewrite_clients: what each word says of a client", async () => {
  const asked: string[] = [];
  const maps = {
    find: (parameter: string, search: string, key: string, table = "") => {
      asked.push(`${parameter} ${search} ${key} ${table}`);
      return Promise.resolve(
        table === "inline:{a=b}"
          ? { kind: "found" as const, value: "b", extension: "" }
          : { kind: "retry" as const, why: "away" },
      );
    },
  };
  for (
    const [items, peer, trusted, expected] of [
      [[], { ...PEER, ours: true }, true, false],
      [["permit_inet_interfaces"], { ...PEER, ours: true }, false, true],
      [["permit_inet_interfaces"], PEER, true, false],
      [["permit_mynetworks"], PEER, true, true],
      [["permit_mynetworks"], { ...PEER, ours: true }, false, false],
      [["check_address_map", "inline:{a=b}"], PEER, false, true],
      [["fail:x"], PEER, false, false],
      [["fail:x", "permit_mynetworks"], PEER, true, true],
    ] as const
  ) assert.equal(await new LocalClients(items, maps).matches(peer, trusted), expected, items.join(" "));
  assert.deepEqual(asked, [
    "local_header_rewrite_clients key 198.51.100.9 inline:{a=b}",
    "local_header_rewrite_clients key 198.51.100.9 fail:x",
  ]);
});

Deno.test("headers of a client that a table names are completed, those of another are not", async () => {
  const settings = {
    local_header_rewrite_clients: '["check_address_map", "inline:{203.0.113.7=yes}"]',
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  };
  for (const [address, completed] of [["203.0.113.7", true], ["203.0.113.8", false]] as const) {
    await using host = new MailHost({ settings });
    const standing = await host.server.standingOf({ ...PEER, address });
    assert.deepEqual(standing, {
      trusted: true,
      local: completed,
      unlimited: true,
      noLogin: false,
      hidden: { words: new Set(), told: "" },
    });
  }
});

Deno.test("receive_override_options: checks and address mapping are left out where they say so", async () => {
  for (
    const [options, checked, mapped] of [
      ["[]", true, true],
      ['["no_header_body_checks"]', false, true],
      ['["no_address_mappings"]', true, false],
    ] as const
  ) {
    await using host = new MailHost({
      settings: {
        receive_override_options: options,
        header_checks: '["regexp:{{/^Subject:/ IGNORE}}"]',
        virtual_alias_maps: '["inline:{alice@local.test=other@local.test}"]',
        always_bcc: '"copy@local.test"',
      },
    });
    const client = host.connect("127.0.0.1");
    await client.reply();
    await client.says("EHLO x.test", "MAIL FROM:<a@x.test>", "RCPT TO:<alice@local.test>", "DATA");
    client.send("Subject: s\r\nFrom: a@x.test\r\n\r\nx\r\n.\r\n");
    assert.match(await client.reply(), /^250 /);
    const [file] = [...Deno.readDirSync(`${host.queue}/incoming`)];
    const message = readQueueFile(`${host.queue}/incoming/${file!.name}`);
    assert.equal(message.text.includes("Subject: s"), !checked, options);
    assert.deepEqual(
      message.recipients,
      mapped ? ["other@local.test", "copy@local.test"] : ["alice@local.test"],
      options,
    );
  }
});
