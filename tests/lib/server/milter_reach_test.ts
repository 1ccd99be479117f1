/** What a daemon may reach for its filters, and what is said of lists that name none. @module */
import assert from "node:assert/strict";
import { formatProblem } from "../../../lib/config/problem.ts";
import { findMilterProblems } from "../../../lib/server/check_milters.ts";
import { milterGrants } from "../../../lib/server/milter_reach.ts";
import { configure } from "../../daemons/smtpd/mail_host.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

function grants(settings: Readonly<Record<string, string>>): string[] {
  const configuration = configure(settings);
  const entry = configuration.services[0]!;
  return milterGrants(configuration, entry, ["smtpd_milters", "smtpd_milter_maps"])
    .map(({ kind, object }) => `${kind} ${object}`);
}

Deno.test("each filter adds exactly its address and port, or its socket", () => {
  assert.deepEqual(
    grants({ smtpd_milters: '["inet:127.0.0.1:8891", "{ unix:/run/f, default_action=accept }"]' }),
    [
      "net 127.0.0.1:8891",
      "net unix:/run/f",
      "read /run/f",
      "write /run/f",
    ],
  );
  assert.deepEqual(grants({}), []);
});

Deno.test("the filters of smtpd_milter_maps are found in the table, whatever its type", () => {
  using directory = new TemporaryDirectory();
  const text =
    "192.0.2.0/24 DISABLE\n127.0.0.0/8 inet:[::1]:1, { inet:filter.test:2 default_action=accept }\n";
  Deno.writeTextFileSync(`${directory.path}/map`, text);
  assert.deepEqual(grants({ smtpd_milter_maps: JSON.stringify([`cidr:${directory.path}/map`]) }), [
    "net [::1]:1",
    "net filter.test:2",
  ]);
  assert.deepEqual(
    grants({ smtpd_milter_maps: '["inline:{192.0.2.1=inet:127.0.0.1:3, 192.0.2.2=disable}"]' }),
    ["net 127.0.0.1:3"],
  );
  const rules = '["cidr:{{192.0.2.0/24 unix:/run/g}}"]';
  assert.deepEqual(grants({ smtpd_milter_maps: rules }), ["net unix:/run/g", "read /run/g", "write /run/g"]);
});

Deno.test("a list that names no filter is an error with its place", () => {
  const configuration = configure({ smtpd_milters: '["localhost:8891"]', non_smtpd_milters: '["inet:a:1"]' });
  const [problem, ...more] = findMilterProblems(configuration).map(formatProblem);
  assert.match(
    problem!,
    /^error: \/conf\/main\.toml:\d+: "smtpd_milters": "localhost:8891" is neither "inet:host:port" nor "unix:\/path" nor "filter:SERVICE"$/,
  );
  assert.deepEqual(more, []);
});
