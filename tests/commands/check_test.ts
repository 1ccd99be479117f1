import assert from "node:assert/strict";
import { run } from "../../commands/check.ts";
import type { CommandEnv } from "../../commands/command.ts";
import { loadConfiguration } from "../../lib/config/configuration.ts";
import { COMMANDS, FACTS, MASTER } from "../lib/config/fixture.ts";

/** Writes the files into a directory of their own, checks it, and gives the lines with DIR for its path. */
async function check(
  files: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<{ lines: string[]; status: number }> {
  const directory = Deno.makeTempDirSync();
  try {
    for (const [name, text] of Object.entries({ "master.toml": MASTER, ...files })) {
      Deno.writeTextFileSync(`${directory}/${name}`, text.replaceAll("DIR", directory));
    }
    let err = "";
    const env: CommandEnv = {
      programName: "postern",
      configDirectory: directory,
      out: () => assert.fail(),
      err: (text) => err += text,
      writeBytes: () => assert.fail(),
      stdin: () => assert.fail(),
      config: () => assert.fail(),
      load: () => {
        const options = { readText: Deno.readTextFileSync, commands: COMMANDS };
        const { configuration, problems } = loadConfiguration(directory, FACTS, options);
        return { configuration, problems };
      },
    };
    const status = await run(args, env);
    return { lines: err.split("\n").slice(0, -1).map((line) => line.replaceAll(directory, "DIR")), status };
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

const ALIASES = 'alias_maps = ["texthash:$config_directory/aliases"]\n';

Deno.test("check says nothing about a configuration that is good", async () => {
  const result = await check({ "main.toml": ALIASES, "aliases": "root: me, you\n" });
  assert.deepEqual(result, { lines: [], status: 0 });
});

Deno.test("check prints every problem of main.toml and fails", async () => {
  const result = await check({ "main.toml": "smtpd_helo_required = 1\nmynetwork = []\n" });
  assert.equal(result.status, 1);
  assert.deepEqual(result.lines, [
    'postern: error: DIR/main.toml:1: "smtpd_helo_required": expected true or false, got 1',
    'postern: error: DIR/main.toml:2: unknown parameter "mynetwork" (did you mean "mynetworks"?)',
  ]);
});

Deno.test("check passes with a warning", async () => {
  const main = ALIASES + 'mailbox_transport = "lmtp:unix:/x"\n';
  const { lines, status } = await check({ "main.toml": main, "aliases": "" });
  assert.equal(status, 0);
  assert.equal(lines.length, 1);
  assert.match(
    lines[0]!,
    /^postern: warning: DIR\/main\.toml:2: "mailbox_transport": master\.toml has no service/,
  );
});

/** main.toml's further lines, other files, and the one problem that is to be told. */
const TABLES: readonly (readonly [string, string, Readonly<Record<string, string>>, RegExp])[] = [
  [
    "a table file that is missing",
    'transport_maps = ["texthash:DIR/transport"]',
    {},
    /error: .*DIR\/transport/,
  ],
  [
    "a missing file in a restriction",
    'smtpd_client_restrictions = ["check_client_access cidr:DIR/clients"]',
    {},
    /error: .*DIR\/clients/,
  ],
  ["a missing table of a service's override", "", {
    "master.toml": MASTER + '[[service]]\nname = "26"\ntype = "inet"\ncommand = "smtpd"\n' +
      'parameters = { smtpd_client_restrictions = ["check_client_access cidr:DIR/clients"] }\n',
  }, /error: .*DIR\/clients/],
  [
    "an unknown type",
    'transport_maps = ["nis:x"]',
    {},
    /error: DIR\/main\.toml:2: .*"nis" is not supported/,
  ],
  [
    "an indexed file",
    'transport_maps = ["hash:DIR/x"]',
    {},
    /error: DIR\/main\.toml:2: .*use "texthash:DIR\/x"/,
  ],
  [
    "a table path that is relative",
    'transport_maps = ["texthash:transport"]',
    {},
    /error: DIR\/main\.toml:2: .*absolute/,
  ],
  [
    "a slip in a database's configuration",
    'transport_maps = ["mysql:DIR/m.cf"]',
    { "m.cf": "dbname = m\nquerry = SELECT 1\n" },
    /error: DIR\/m\.cf:2: .*unknown parameter "querry"/,
  ],
  ["a bad rule", 'relay_domains = ["regexp:DIR/r"]', { "r": "/ok/ x\n/(/ y\n" }, /error: DIR\/r:2: /],
  ["a doubled key", 'transport_maps = ["texthash:DIR/t"]', { "t": "a x:\na y:\n" }, /warning: DIR\/t:2: /],
];

for (const [what, main, files, expected] of TABLES) {
  Deno.test(`check tells ${what}`, async () => {
    const { lines, status } = await check({ "main.toml": ALIASES + main, "aliases": "", ...files });
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0]!, expected);
    assert.equal(status, lines[0]!.startsWith("postern: error:") ? 1 : 0);
  });
}

const OPEN =
  'alias_maps = []\nsmtpd_relay_restrictions = ["permit_mynetworks", "reject"]\nmynetworks = ["0.0.0.0/0"]\n';

Deno.test("check tells of an open relay, and of an expectation that is not met", async () => {
  const { lines, status } = await check({
    "main.toml": OPEN,
    "expect.toml": '[[expect]]\nclient = "198.51.100.7"\nrelay = false\n',
  });
  assert.equal(status, 1);
  assert.equal(lines.length, 2, lines.join("\n"));
  assert.match(lines[0]!, /error: DIR\/main\.toml:2: service "25" would relay for strangers: mail\.stranger/);
  assert.match(
    lines[1]!,
    /error: DIR\/expect\.toml:1: expectation is not met: .*expected relay false, got true/,
  );
});

Deno.test("check --network tells of a name that DNS does not have and of a port that is taken", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const service =
    `[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n`;
  const files = {
    "main.toml": 'alias_maps = []\nqueue_directory = "DIR/queue"\nmyhostname = "host.invalid"\n',
    "master.toml": service,
  };
  assert.deepEqual(await check(files), { lines: [], status: 0 });
  const { lines, status } = await check(files, "--network");
  assert.equal(status, 1);
  // RFC 6761 section 6.4: no name ends in "invalid"; without a resolver there is none either.
  assert.match(lines[0]!, /warning: DIR\/main\.toml:3: "myhostname": DNS has no address for "host\.invalid"/);
  assert.match(
    lines[1]!,
    new RegExp(`error: DIR/master\\.toml:1: service "127\\.0\\.0\\.1:${port}": Cannot listen`, "i"),
  );
  listener.close();
  assert.equal((await check(files, "--network")).status, 0);
});

Deno.test("check takes no arguments", async () => {
  await assert.rejects(run(["x"], {} as CommandEnv), { name: "CommandError" });
});
