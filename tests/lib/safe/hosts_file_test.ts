/** The system's file of host names. @module */
import assert from "node:assert/strict";
import { hostsAddresses, systemHosts } from "../../../lib/safe/hosts_file.ts";

const FILE = `# comment
127.0.0.1 localhost
192.0.2.1\tmail.example.test  mail # its own name
2001:DB8::1 mail.example.test
nonsense mail
192.0.2.2 other#mail
`;

Deno.test("every address of a name is found, in order, whatever its case", () => {
  assert.deepEqual(hostsAddresses(FILE, "Mail.Example.TEST"), ["192.0.2.1", "2001:db8::1"]);
  assert.deepEqual(hostsAddresses(FILE, "mail"), ["192.0.2.1"]);
  assert.deepEqual(hostsAddresses(FILE, "other"), ["192.0.2.2"]);
});

Deno.test("what is no name of a line is not found", () => {
  for (const name of ["its", "own", "192.0.2.1", "comment", "", "mail.example"]) {
    assert.deepEqual(hostsAddresses(FILE, name), [], name);
  }
});

Deno.test("this system knows localhost", () => {
  assert.ok(systemHosts("localhost").includes("127.0.0.1"));
});
