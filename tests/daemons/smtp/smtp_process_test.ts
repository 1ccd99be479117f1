/** The real smtp, lmtp and dns processes together, under the flags that their declarations ask for. @module */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet from "dns-packet";
import { SERVICE as DNS_SERVICE } from "../../../daemons/dns/service.ts";
import { SERVICE as LMTP_SERVICE } from "../../../daemons/lmtp/service.ts";
import { SERVICE as SMTP_SERVICE } from "../../../daemons/smtp/service.ts";
import { settingsFor } from "../../../lib/config/configuration.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import type { Reply, RequestValues } from "../../../lib/ipc/protocol.ts";
import { DnsClient } from "../../../lib/proto/dns_client.ts";
import { DELIVERY, DNS } from "../../../lib/proto/protocols.ts";
import { loadGood } from "../../lib/config/fixture.ts";
import { QUEUE_ID, writeQueueFile } from "../../lib/smtp/delivery_bench.ts";
import { fakeServer } from "../../lib/smtp/fake_server.ts";
import { startDaemon } from "./daemon_support.ts";

function deliver(
  client: IpcClient<typeof DELIVERY>,
  request: Partial<RequestValues<typeof DELIVERY, "deliver">>,
): Promise<Reply<typeof DELIVERY>[]> {
  const now = Date.now();
  return new Promise((resolve, reject) => {
    const replies: Reply<typeof DELIVERY>[] = [];
    const exchange = client.open((reply) => {
      replies.push(reply);
      if (reply.is === "finished") resolve(replies);
    }, reject);
    exchange.send("deliver", {
      queueId: QUEUE_ID,
      queueName: "active",
      dataOffset: 0,
      dataSize: 20,
      nexthop: "",
      encoding: "",
      sendOptions: 0,
      sender: "a@client.test",
      envelopeId: "",
      ret: 0,
      arrivalTime: now,
      activeTime: now,
      clientName: "",
      clientAddress: "",
      clientPort: "",
      protocolName: "",
      heloName: "",
      saslMethod: "",
      saslUsername: "",
      saslSender: "",
      logIdent: "",
      rewriteContext: "local",
      probe: false,
      recipients: [{
        offset: 9,
        address: "b@d.test",
        originalRecipient: "",
        dsnOriginalRecipient: "",
        notify: 0,
      }],
      ...request,
    });
  });
}

/** d.test has an MX at a loopback address; servfail.test cannot be resolved. */
async function startZone(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const socket = dgram.createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  socket.on("message", (bytes: Uint8Array, from: { port: number; address: string }) => {
    const query = packet.decode(Buffer.from(bytes));
    const { name, type } = query.questions![0]!;
    const answers: packet.Answer[] = type === "MX" && name === "d.test"
      ? [{ name, type: "MX", ttl: 60, data: { preference: 10, exchange: "mx.d.test" } }]
      : type === "A" && name === "mx.d.test"
      ? [{ name, type: "A", ttl: 60, data: "127.0.0.1" }]
      : [];
    const flags = name === "servfail.test" ? 2 : answers.length > 0 || name.endsWith("d.test") ? 0 : 3;
    const reply = packet.encode({
      id: query.id!,
      type: "response",
      flags,
      questions: query.questions!,
      answers,
    });
    socket.send(reply, from.port, from.address);
  });
  return {
    port: socket.address().port,
    stop: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

Deno.test({
  name: "smtp finds a mail exchanger through dns, delivers, and goes nowhere else",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const directory = Deno.makeTempDirSync();
    Deno.mkdirSync(`${directory}/active`);
    writeQueueFile(`${directory}/active/${QUEUE_ID}`, ["Subject: x", "", "Hello."]);
    const zone = await startZone();
    const server = fakeServer();
    const configuration = loadGood(`
      queue_directory = "${directory}"
      myhostname = "client.test"
      resolver = "127.0.0.1:${zone.port}"
      relayhost = "d.test:${server.port}"
    `);
    const entry = configuration.services.find((each) => each.name === "smtp")!;
    const dnsFlags = [`--allow-net=127.0.0.1:${zone.port},0.0.0.0:0`];
    const dns = startDaemon(
      directory,
      "dns",
      dnsFlags,
      settingsFor(configuration, entry, DNS_SERVICE.parameters),
    );
    const smtpFlags = [
      `--allow-read=${directory}/active,${dns.socket}`,
      `--allow-write=${dns.socket}`,
      `--allow-net=unix:${dns.socket},0.0.0.0/0:${server.port}`,
      `--allow-sys=${SMTP_SERVICE.sys.join(",")}`,
    ];
    const settings = settingsFor(configuration, entry, SMTP_SERVICE.parameters);
    const smtp = startDaemon(directory, "smtp", smtpFlags, settings, { dns: dns.socket });
    const dnsClient = new IpcClient(DNS, dns.socket);
    const client = new IpcClient(DELIVERY, smtp.socket);
    try {
      const lookup = new DnsClient(dnsClient);
      assert.deepEqual((await lookup.query("d.test", "MX")).records.map((record) => record.value), [
        "mx.d.test",
      ]);
      assert.equal((await lookup.query("servfail.test", "MX")).rcode, "servfail");
      assert.equal((await lookup.query("nothing.test", "MX")).rcode, "nxdomain");

      const sent = await deliver(client, { nexthop: `d.test:${server.port}` });
      assert.deepEqual(sent.map((reply) => reply.is === "recipient" ? reply.result : reply.is), [
        "sent",
        "finished",
      ]);
      assert.equal(server.texts.length, 1);
      // What no configuration names stays unreachable though the zone of a stranger points there.
      const strange = await deliver(client, { nexthop: "d.test" });
      assert.ok(
        strange[0]?.is === "recipient" && strange[0].result === "bounced" && strange[0].status === "5.4.6",
      );
      const literal = await deliver(client, { nexthop: `[127.0.0.1]:${server.port}` });
      assert.ok(literal[0]?.is === "recipient" && literal[0].result === "bounced");
      const later = await deliver(client, { nexthop: "servfail.test" });
      assert.ok(
        later[0]?.is === "recipient" && later[0].result === "deferred" && later[0].status === "4.4.3",
      );
      assert.equal(server.texts.length, 1);
      const missing = await deliver(client, { queueId: "4ZqYkT1zzz9y", nexthop: "d.test" });
      assert.ok(missing[0]?.is === "recipient" && missing[0].status === "4.3.0");
      await smtp.logged(`to=<b@d.test>, relay=mx.d.test[127.0.0.1]:${server.port}, delay=`);
      assert.ok(smtp.log.text.includes(" postfix/smtp["));
      for (const log of [smtp.log.text, dns.log.text]) {
        assert.ok(!log.includes("panic:") && !log.includes("security:"), log);
      }
    } finally {
      client.close();
      dnsClient.close();
      await smtp.stop();
      await dns.stop();
      await server.stop();
      await zone.stop();
      Deno.removeSync(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "lmtp delivers with its own parameters",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const directory = Deno.makeTempDirSync();
    Deno.mkdirSync(`${directory}/active`);
    writeQueueFile(`${directory}/active/${QUEUE_ID}`, ["Subject: x", "", "Hello."]);
    const server = fakeServer({ lmtp: true, final: ["250 2.1.5 one", "552 5.2.2 full"] });
    const nexthop = `inet:127.0.0.1:${server.port}`;
    const configuration = loadGood(`
      queue_directory = "${directory}"
      lmtp_lhlo_name = "lhlo.test"
      virtual_transport = "smtp:${nexthop}"
    `);
    const entry = configuration.services.find((each) => each.name === "smtp")!;
    const flags = [
      `--allow-read=${directory}/active`,
      `--allow-net=127.0.0.1:${server.port}`,
      `--allow-sys=${LMTP_SERVICE.sys.join(",")}`,
    ];
    const settings = settingsFor(configuration, entry, LMTP_SERVICE.parameters);
    const lmtp = startDaemon(directory, "lmtp", flags, settings, { dns: `${directory}/nobody` });
    const client = new IpcClient(DELIVERY, lmtp.socket);
    try {
      const recipient = { originalRecipient: "", dsnOriginalRecipient: "", notify: 0 };
      const replies = await deliver(client, {
        nexthop,
        recipients: [{ offset: 1, address: "one@d.test", ...recipient }, {
          offset: 2,
          address: "two@d.test",
          ...recipient,
        }],
      });
      assert.deepEqual(
        replies.map((reply) => reply.is === "recipient" ? `${reply.result} ${reply.status}` : reply.is),
        [
          "sent 2.1.5",
          "bounced 5.2.2",
          "finished",
        ],
      );
      assert.equal(server.commands[0], "LHLO lhlo.test");
      await lmtp.logged("postfix/lmtp[");
    } finally {
      client.close();
      await lmtp.stop();
      await server.stop();
      Deno.removeSync(directory, { recursive: true });
    }
  },
});
