import assert from "node:assert/strict";
import { isParameterName } from "../../../lib/config/parameters.ts";
import { findPostfixParameter, POSTFIX_NAMES } from "../../../lib/config/postfix_parameters.ts";
import { ROWS_A_P } from "../../../lib/config/postfix_rows_a_p.ts";
import { ROWS_Q_Z } from "../../../lib/config/postfix_rows_q_z.ts";
import { splitTransportParameter } from "../../../lib/config/transport.ts";
import { problemsOf } from "./fixture.ts";
import { testNeeding } from "../../support/tools.ts";

Deno.test("rows of Postfix's parameters are in alphabetical order, each once", () => {
  const names = [...Object.keys(ROWS_A_P), ...Object.keys(ROWS_Q_Z)];
  assert.deepEqual(names, [...new Set(names)].sort());
});

Deno.test("a parameter of Postfix is honoured or refused with a reason, and has one line of documentation", () => {
  for (const name of POSTFIX_NAMES) {
    const { refusal, doc } = findPostfixParameter(name)!;
    if (isParameterName(name)) continue;
    assert.ok(refusal !== undefined && doc !== undefined, name);
    assert.ok(doc.length > 0 && !doc.includes("\n") && !doc.endsWith("."), name);
    const transport = splitTransportParameter(name) !== undefined;
    const problems = problemsOf(`${name} = "x"`);
    assert.equal(problems.length, 1, name);
    if (!transport) assert.ok(problems[0]!.includes(`: ${refusal.why} (`), problems[0]!);
  }
});

Deno.test("an old name is refused with the new one", () => {
  assert.deepEqual(problemsOf('virtual_maps = "x"'), [
    'error: /c/main.toml:1: "virtual_maps" is a Postfix parameter that Postern does not support: it is obsolete in ' +
    "Postfix itself (use virtual_alias_maps)",
  ]);
});

/** Where Debian's 3.7 differs from the upstream 3.12 that the table is made of. */
const DIFFERENT: ReadonlySet<string> = new Set([
  // Debian's paths and builds.
  "command_directory",
  "daemon_directory",
  "html_directory",
  "mail_release_date",
  "mail_version",
  "mailq_path",
  "manpage_directory",
  "meta_directory",
  "newaliases_path",
  "readme_directory",
  "sample_directory",
  "sendmail_path",
  "shlib_directory",
  "smtp_tls_CApath",
  "smtpd_tls_fingerprint_digest",
  // Made of facts about the system or the process.
  "mydomain",
  "myhostname",
  "mynetworks",
  "process_id",
  "process_name",
  // Changed between the two.
  "address_verify_map",
  "alias_database",
  "alias_maps",
  "import_environment",
  "milter_default_action",
  "postscreen_cache_map",
  "proxy_read_maps",
  "smtp_tls_dane_insecure_mx_policy",
  "smtp_tls_security_level",
  "smtpd_forbid_bare_newline",
  "smtpd_forbid_unauth_pipelining",
  "tls_eecdh_auto_curves",
  "tls_export_cipherlist",
  "tls_high_cipherlist",
  "tls_low_cipherlist",
  "tls_medium_cipherlist",
  "tls_null_cipherlist",
  "tlsproxy_client_policy_maps",
  "tlsproxy_client_security_level",
]);

testNeeding(["postfix"], "Debian's postconf -d knows no parameter that the table does not have", () => {
  const { stdout } = new Deno.Command("/usr/sbin/postconf", { args: ["-C", "builtin", "-d"] }).outputSync();
  const lines = new TextDecoder().decode(stdout).split("\n").slice(0, -1);
  assert.ok(lines.length > 700);
  const unknown: string[] = [];
  const different: string[] = [];
  for (const line of lines) {
    const [name = "", ...rest] = line.split(" =");
    const row = findPostfixParameter(name);
    if (row === undefined) unknown.push(name);
    else if (!DIFFERENT.has(name) && row.default !== rest.join(" =").slice(1)) {
      different.push(`${line} / ${row.default}`);
    }
  }
  assert.deepEqual(unknown, []);
  assert.deepEqual(different, []);
});
