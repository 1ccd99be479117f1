/** Replies of servers, good and bad, given to Debian's client and to ours: the same becomes of the same recipients. @module */
import assert from "node:assert/strict";
import { freePort, until } from "../../commands/mail_system.ts";
import { type FakeServer, fakeServer } from "../../lib/smtp/fake_server.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { type Post, sendWithPython } from "../../support/smtplib.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { LMTP_SEQUENCES, type Sequence, SMTP_SEQUENCES } from "./reply_sequences.ts";

/** What each wait for a server may take, seconds: some of them are silent. */
const PATIENCE = 4;
const WAITS = ["data_done", "data_init", "data_xfer", "mail", "rcpt", "rset", "quit"];
const TIMEOUTS: readonly string[] = ["smtp", "lmtp"].flatMap((dialect) =>
  [...WAITS, dialect === "smtp" ? "helo" : "lhlo"].map((wait) => `${dialect}_${wait}_timeout`)
);

interface Numbered extends Sequence {
  readonly domain: string;
  readonly address: string;
  readonly dialect: "smtp" | "lmtp";
}

const SEQUENCES: readonly Numbered[] = [
  ...SMTP_SEQUENCES.map((sequence) => ({ ...sequence, dialect: "smtp" as const })),
  ...LMTP_SEQUENCES.map((sequence) => ({ ...sequence, dialect: "lmtp" as const })),
].map((sequence, i) => ({
  ...sequence,
  domain: `n${i}.example.test`,
  address: `127.1.${Math.floor(i / 200)}.${i % 200 + 1}`,
}));

/** One server for each sequence, each on an address of its own. */
function startServers(port: number): Map<string, FakeServer> {
  return new Map(
    SEQUENCES.map(({ domain, address, server }) => [domain, fakeServer(server, { hostname: address, port })]),
  );
}

function transports(port: number): string {
  const routes = SEQUENCES.map(({ domain, address, dialect }) =>
    `${domain} ${dialect}:${dialect === "lmtp" ? "inet:" : ""}[${address}]:${port}\n`
  );
  return `${routes.join("")}sender.test discard:\n`;
}

function posts(): Post[] {
  return SEQUENCES.map(({ domain, recipients = 1, lines = ["", "text"], eightBit }) => ({
    from: "from@sender.test",
    to: Array.from({ length: recipients }, (_, i) => `r${i}@${domain}`),
    options: eightBit ? ["BODY=8BITMIME"] : [],
    content: utf8(["Subject: a test", ...lines, ""].join("\r\n")),
  }));
}

/** Longest text that is compared: Postfix's log cuts its lines. */
const TEXT_COMPARED = 300;

/** What a log says of each recipient: "dsn status (text". */
function outcomes(log: string, port: number): Map<string, string> {
  const found = new Map<string, string>();
  const line = /: to=<(r\d+@n\d+\.example\.test)>, .*?dsn=([^,]*), status=(\w+) \((.*)$/gm;
  for (const [, recipient, dsn, status, text] of log.matchAll(line)) {
    // The sizes differ by the length of Received:, which has the names of host and program.
    const plain = text!.replaceAll(`:${port}`, "").replace(/size \d+ exceeds/, "size N exceeds");
    found.set(recipient!, `${dsn} ${status} (${plain.slice(0, TEXT_COMPARED)}`);
  }
  return found;
}

/** What a server was told, without what does not matter: sizes, and how a client says goodbye. */
function commands(server: FakeServer): string {
  return server.commands.filter((line) => line !== "QUIT" && line !== "RSET")
    .map((line) => line.replace(/ SIZE=\d+/, " SIZE=N")).join(" | ");
}

testNeeding(
  ["root", "postfix", "python3"],
  "what becomes of recipients is what Debian's client makes of them",
  async () => {
    using directory = new TemporaryDirectory();
    Deno.chmodSync(directory.path, 0o755);
    const ports = { theirs: freePort(), ours: freePort() };
    directory.write("theirs", transports(ports.theirs));
    directory.write("ours", transports(ports.ours));
    const servers = { theirs: startServers(ports.theirs), ours: startServers(ports.ours) };
    try {
      await using postfix = await Postfix.start({
        settings: {
          transport_maps: `texthash:${directory.at("theirs")}`,
          default_process_limit: "40",
          notify_classes: "",
          myhostname: "client.example.test",
          smtputf8_enable: "yes",
          ...Object.fromEntries(TIMEOUTS.map((name) => [name, `${PATIENCE}s`])),
        },
      });
      await using postern = await Postern.start({
        settings: {
          transport_maps: JSON.stringify([`texthash:${directory.at("ours")}`]),
          mydestination: "[]",
          default_transport: '"smtp"',
          mynetworks: '["127.0.0.0/8"]',
          smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
          notify_classes: "[]",
          myhostname: '"client.example.test"',
          ...Object.fromEntries(TIMEOUTS.map((name) => [name, `"${PATIENCE}s"`])),
        },
      });
      for (const { port } of [postfix, postern]) {
        for (const { code, text } of await sendWithPython(port, posts())) assert.equal(code, 250, text);
      }
      const count = posts().reduce((sum, { to }) => sum + to.length, 0);
      const done = () =>
        outcomes(postfix.log(), ports.theirs).size >= count &&
        outcomes(postern.log(), ports.ours).size >= count;
      assert.ok(await until(done, 90_000), `not all of ${count} recipients have a result`);
      const expected = outcomes(postfix.log(), ports.theirs);
      const found = outcomes(postern.log(), ports.ours);
      const differences: string[] = [];
      for (const { name, domain, recipients = 1, meant } of SEQUENCES) {
        const [theirs, ours] = [servers.theirs.get(domain)!, servers.ours.get(domain)!].map(commands);
        const pairs = Array.from({ length: recipients }, (_, i) => `r${i}@${domain}`)
          .map((recipient) => [expected.get(recipient)!, found.get(recipient)!] as const);
        const same = theirs === ours && pairs.every(([a, b]) => a === b);
        if (meant !== undefined) {
          // A difference that is documented is there, and is what was meant.
          for (const [i, [, ours]] of pairs.entries()) {
            if (same || !ours.startsWith(meant[i]!)) differences.push(`${name}: not as meant: ${ours}`);
          }
        } else if (!same) {
          differences.push(`${name}\n${pairs.map((pair) => pair.join("\n")).join("\n")}\n${theirs}\n${ours}`);
        }
      }
      assert.deepEqual(differences, []);
    } finally {
      for (const side of [servers.theirs, servers.ours]) {
        for (const server of side.values()) {
          await server.stop();
        }
      }
    }
  },
);
