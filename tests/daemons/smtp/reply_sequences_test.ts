/** Replies of servers, good and bad, given to Debian's client and to ours: the same becomes of the same recipients. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { type FakeServer, fakeServer } from "../../lib/smtp/fake_server.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { type Post, sendWithPython } from "../../support/smtplib.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { LMTP_SEQUENCES, NOISE, type Sequence, SMTP_SEQUENCES, TRANSPORTS } from "./reply_sequences.ts";
import { freePort } from "../../support/ports.ts";

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
  const routes = SEQUENCES.map(({ domain, address, dialect, transport = dialect }) =>
    `${domain} ${transport}:${dialect === "lmtp" ? "inet:" : ""}[${address}]:${port}\n`
  );
  return `${routes.join("")}sender.test discard:\n`;
}

/** The transports with settings of their own, as lines of master.cf. */
function masterCf(): string {
  const value = (one: unknown) => one === true ? "yes" : one === false ? "no" : String(one);
  return Object.entries(TRANSPORTS).map(([name, settings]) => {
    const options = Object.entries(settings).map(([parameter, one]) => ` -o ${parameter}=${value(one)}`);
    return `${name} unix - - n - - smtp${options.join("")}\n`;
  }).join("");
}

/** The same as tables of master.toml. */
function masterToml(text: string): string {
  const services = Object.entries(TRANSPORTS).map(([name, settings]) => {
    const parameters = Object.entries(settings).map(([parameter, one]) =>
      `${parameter} = ${JSON.stringify(one)}`
    );
    return `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "smtp"\nparameters = { ${
      parameters.join(", ")
    } }\n`;
  });
  return text + services.join("");
}

function posts(): Post[] {
  return SEQUENCES.map(({ domain, recipients = 1, lines = ["", "text"], eightBit, utf8: asks, from }) => ({
    from: from ?? "from@sender.test",
    to: Array.from({ length: recipients }, (_, i) => `r${i}@${domain}`),
    options: asks ? ["BODY=8BITMIME", "SMTPUTF8"] : eightBit ? ["BODY=8BITMIME"] : [],
    content: utf8(["Subject: a test", ...lines, ""].join("\r\n")),
  }));
}

/** Longest text that is compared: Postfix's log cuts its lines. */
const TEXT_COMPARED = 300;

/** What a log says of each recipient: "dsn status (text". */
function outcomes(log: string, port: number): Map<string, string> {
  const found = new Map<string, string>();
  const line = /: to=<([rp]\d+@n\d+\.example\.test)>, .*?dsn=([^,]*), status=(\w+) \((.*)$/gm;
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
    .map((line) => line.replace(/ SIZE=\d+/, " SIZE=N").replace(/ (PORT|IDENT)=\w+/g, " $1=N")).join(" | ");
}

/**
 * What is not as it should be: other results or other commands, or a difference that is not the one that is meant.
 *
 * @param letter what the recipients' local parts begin with
 */
function differences(
  sequences: readonly Numbered[],
  letter: string,
  [expected, found]: readonly [ReadonlyMap<string, string>, ReadonlyMap<string, string>],
  servers: Readonly<Record<"theirs" | "ours", ReadonlyMap<string, FakeServer>>>,
): string[] {
  return sequences.flatMap(({ name, domain, recipients = 1, meant }): string[] => {
    const [theirs, ours] = [servers.theirs.get(domain)!, servers.ours.get(domain)!].map(commands);
    const pairs = Array.from({ length: recipients }, (_, i) => `${letter}${i}@${domain}`)
      .map((recipient) => [expected.get(recipient)!, found.get(recipient)!] as const);
    const same = theirs === ours && pairs.every(([a, b]) => a === b);
    if (meant === undefined) {
      return same ? [] : [`${name}\n${pairs.map((pair) => pair.join("\n")).join("\n")}\n${theirs}\n${ours}`];
    }
    // A difference that is documented is there, and is what was meant.
    return pairs.filter(([, ours], i) => same || !ours.startsWith(meant[i]!))
      .map(([, ours]) => `${name}: not as meant: ${ours}`);
  });
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
        services: masterCf(),
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
        services: masterToml,
      });
      await Promise.all([postfix, postern].map(async ({ port }) => {
        for (const { code, text } of await sendWithPython(port, posts())) assert.equal(code, 250, text);
      }));
      const count = posts().reduce((sum, { to }) => sum + to.length, 0);
      const logs = () =>
        [outcomes(postfix.log(), ports.theirs), outcomes(postern.log(), ports.ours)] as const;
      const done = (wanted: number) => () => logs().every(({ size }) => size >= wanted);
      assert.ok(await until(done(count), 90_000), `not all of ${count} recipients have a result`);
      assert.deepEqual(differences(SEQUENCES, "r", logs(), servers), []);
      // Probes of the same servers, as far as they are not left alone by now. Behind noise Postfix takes the answer to
      // the RSET that follows for the one to RCPT.
      const [before] = logs();
      const probed = SEQUENCES.filter(({ name, domain, dialect, transport, meant }) =>
        dialect === "smtp" && transport === undefined && meant === undefined &&
        !NOISE.some((noise) => name.endsWith(`: ${noise}`)) &&
        !/lost connection|timed out|refused to talk/.test(before.get(`r0@${domain}`)!)
      );
      for (const side of [servers.theirs, servers.ours]) {
        for (const server of side.values()) server.commands.length = 0;
      }
      const args = ["-bv", "-f", "from@sender.test", ...probed.map(({ domain }) => `p0@${domain}`)];
      const probes = [postfix.run("/usr/sbin/sendmail", args), postern.run(["sendmail", ...args])];
      for (const { status, errors } of await Promise.all(probes)) assert.equal(status, 0, errors);
      const all = count + probed.length;
      assert.ok(await until(done(all)), `not all of ${probed.length} probes have a result`);
      const single = probed.map((sequence) => ({ ...sequence, recipients: 1 }));
      assert.deepEqual(differences(single, "p", logs(), servers), []);
    } finally {
      for (const side of [servers.theirs, servers.ours]) {
        for (const server of side.values()) {
          await server.stop();
        }
      }
    }
  },
);
