/** Where the client does not go. @module */
import assert from "node:assert/strict";
import { isForbiddenAddress, isLoopbackAddress, trustedNexthops } from "../../../lib/smtp/address_policy.ts";

/** First and last address of each network, and the public ones beside them. */
const FORBIDDEN = [
  "0.0.0.0",
  "0.255.255.255",
  "10.0.0.0",
  "10.255.255.255",
  "100.64.0.0",
  "100.127.255.255",
  "127.0.0.1",
  "127.255.255.255",
  "169.254.0.0",
  "169.254.169.254",
  "172.16.0.0",
  "172.31.255.255",
  "192.168.0.0",
  "192.168.255.255",
  "224.0.0.0",
  "239.255.255.255",
  "240.0.0.0",
  "255.255.255.255",
  "::",
  "::1",
  "fc00::",
  "fdff:ffff::1",
  "fe80::",
  "febf::1",
  "fec0::1",
  "ff00::",
  "ff02::1",
  "::ffff:127.0.0.1",
  "::ffff:0.0.0.0",
  "::ffff:10.1.2.3",
  "::127.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::10.0.0.1",
  "64:ff9b:1::1",
  "2002:7f00:1::",
  "2002:0a00:0001::5",
  // What is no address in strict form is not used as one.
  "",
  "127.1",
  "0177.0.0.1",
  "0x7f.0.0.1",
  "2130706433",
  "localhost",
  "1.2.3.4.5",
  "fe80::1%eth0",
  "[::1]",
];
const ALLOWED = [
  "1.0.0.0",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
  "128.0.0.0",
  "169.253.255.255",
  "169.255.0.0",
  "172.15.255.255",
  "172.32.0.0",
  "192.167.255.255",
  "192.169.0.0",
  "223.255.255.255",
  "192.0.2.1",
  "2001:db8::1",
  "fbff::1",
  "fe00::1",
  "2a00::1",
  "::ffff:192.0.2.1",
  "64:ff9b::c000:201",
  "2002:c000:201::",
];

Deno.test("private, loopback and reserved addresses are forbidden in every form", () => {
  for (const address of FORBIDDEN) assert.equal(isForbiddenAddress(address), true, address);
});

Deno.test("public addresses are not", () => {
  for (const address of ALLOWED) assert.equal(isForbiddenAddress(address), false, address);
});

Deno.test("loopback and unspecified are this host in any clothing", () => {
  for (
    const address of [
      "127.0.0.1",
      "127.9.9.9",
      "0.0.0.0",
      "0.1.2.3",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:0.0.0.0",
      "64:ff9b::7f00:1",
    ]
  ) {
    assert.equal(isLoopbackAddress(address), true, address);
  }
  for (const address of ["10.0.0.1", "192.0.2.1", "fe80::1", "::ffff:10.0.0.1", "2001:db8::1", "x"]) {
    assert.equal(isLoopbackAddress(address), false, address);
  }
});

Deno.test("trusted next hosts are whole words of the configuration, lower case", () => {
  const trusted = trustedNexthops({
    nexthops: ["[Mail.Internal]:2525", "", "a.test, b.test"],
    transports: ["smtp", "smtp:[10.0.0.1]", "lmtp:unix:/run/lmtp", "lmtp:inet:127.0.0.1:24"],
  });
  assert.deepEqual([...trusted].sort(), [
    "[10.0.0.1]",
    "[mail.internal]:2525",
    "a.test",
    "b.test",
    "inet:127.0.0.1:24",
    "unix:/run/lmtp",
  ]);
});
