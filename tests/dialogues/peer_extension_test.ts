/** Extensions beside Debian's Postfix: each case is one dialogue, held with both. @module */
import { comparePeers, type PeerCase, type Words } from "./peer_dialogue.ts";

const HELO = "EHLO c.test";
const FROM = "MAIL FROM:<a@ext.test>";
const TO = "RCPT TO:<alice@local.test>";
const MAIL = [HELO, FROM, TO];
const AUTHORISED = "127.0.0.0/8, 198.51.100.0/24";

/** Everything is offered. */
const OPEN: Words = { smtpd_discard_ehlo_keywords: "etrn", message_size_limit: "1000" };
const CASES: PeerCase[] = [];

function add(
  name: string,
  says: readonly string[],
  settings: Words = OPEN,
  differs?: PeerCase["differs"],
): void {
  CASES.push({ name, settings, says, ...(differs === undefined ? {} : { differs }) });
}

/** A chunk whose last two bytes are the line end that the driver sends. */
const chunk = (text: string, last = "") =>
  `BDAT ${new TextEncoder().encode(text).length + 2}${last}\r\n${text}`;

// --- CHUNKING
add("one chunk", [...MAIL, chunk("Subject: x\r\n\r\ntext", " LAST"), "NOOP"]);
add("chunks one after the other, and a second message", [
  ...MAIL,
  chunk("Subject: x\r\n"),
  chunk("text"),
  "BDAT 0 LAST",
  FROM,
  TO,
  chunk("again", " last"),
]);
add("a chunk of nothing that is not the last", [
  ...MAIL,
  "BDAT 0",
  chunk("abc"),
  "BDAT 0 LAST",
  FROM,
]);
add("a dot is text", [...MAIL, chunk(".\r\n..\r\n.", " LAST")]);
add("after BDAT no RCPT, MAIL and DATA; RSET ends it", [
  ...MAIL,
  chunk("hello"),
  TO,
  FROM,
  "DATA",
  "RSET",
  FROM,
  TO,
  "DATA",
  "text\r\n.",
]);
add("BDAT before MAIL: what follows is not a command", [HELO, "BDAT 6 LAST\r\nQUIT", "NOOP"]);
add("BDAT without a good recipient", [HELO, FROM, chunk("RSET"), chunk("ab", " LAST"), FROM]);
add("too much in one chunk", [...MAIL, chunk("x".repeat(1100), " LAST"), FROM]);
add("too much in many chunks", [
  ...MAIL,
  chunk("x".repeat(600)),
  chunk("x".repeat(600)),
  chunk("x".repeat(10), " LAST"),
  FROM,
]);
for (const argument of ["1e3", "+5", "-1", "0x10", "5 LASTX", "5 LAST more", "", "five"]) {
  add(`BDAT ${argument} ends the session`, [...MAIL, `BDAT ${argument}`]);
}
add("BDAT that is not offered ends the session", [...MAIL, "BDAT 5 LAST"], {
  smtpd_discard_ehlo_keywords: "chunking",
});
add("DATA restrictions are met at the first chunk", [...MAIL, chunk("hello"), chunk("more", " LAST"), FROM], {
  ...OPEN,
  smtpd_data_restrictions: "reject",
});
add(
  "end-of-data restrictions are met at the last chunk",
  [...MAIL, chunk("hello"), chunk("", " LAST"), FROM],
  {
    ...OPEN,
    smtpd_end_of_data_restrictions: "reject",
  },
  // Postfix 3.7 keeps the transaction that it has refused; later versions end it as we do.
  { 5: ["503 5.5.1 Error: nested MAIL command", "250 2.1.0 Ok"] },
);

// --- SMTPUTF8
const UTF8_FROM = "MAIL FROM:<ü@ext.test>";
const UTF8_TO = "RCPT TO:<ü@local.test>";
const UTF8: Words = { ...OPEN, local_recipient_maps: "" };
const STRICT: Words = { ...UTF8, strict_smtputf8: "yes" };
for (const [kind, settings] of [["", UTF8], ["strict: ", STRICT]] as const) {
  add(`${kind}an address in UTF-8 with SMTPUTF8`, [
    HELO,
    `${UTF8_FROM} SMTPUTF8`,
    UTF8_TO,
    "DATA",
    "Subject: ü\r\n\r\nü\r\n.",
  ], settings);
  add(`${kind}an address in UTF-8 without SMTPUTF8`, [HELO, UTF8_FROM, FROM, UTF8_TO, TO], settings);
  add(`${kind}SMTPUTF8 with a value`, [HELO, `${FROM} SMTPUTF8=yes`], settings);
  add(
    `${kind}VRFY`,
    [HELO, "VRFY ü@local.test", "VRFY ü@local.test SMTPUTF8", "VRFY alice SMTPUTF8"],
    settings,
  );
}
add("SMTPUTF8 that is not offered", [HELO, `${FROM} SMTPUTF8`], { smtpd_discard_ehlo_keywords: "smtputf8" });

// --- XFORWARD
const FORWARD: Words = { ...OPEN, smtpd_authorized_xforward_hosts: AUTHORISED };
add("XFORWARD of a stranger", [HELO, "XFORWARD NAME=a.test"]);
add("XFORWARD", [
  HELO,
  "XFORWARD NAME=spike.test ADDR=192.0.2.4 PORT=99 PROTO=ESMTP HELO=a+20b",
  "XFORWARD SOURCE=REMOTE IDENT=ABC",
  "XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]",
  "XFORWARD ADDR=[TEMPUNAVAIL]",
  FROM,
  "XFORWARD NAME=a.test",
  TO,
  "DATA",
  "text\r\n.",
  "XFORWARD NAME=a.test",
], FORWARD);
for (
  const argument of [
    "",
    "FOO=1",
    "NAME",
    "NAME=a b",
    "NAME=-a.test",
    "ADDR=1.2.3",
    "ADDR=2001:db8::1",
    "PORT=x",
    "SOURCE=x",
    "NAME=a.test FOO=1",
  ]
) add(`XFORWARD ${argument}`, [HELO, `XFORWARD ${argument}`.trimEnd(), "NOOP"], FORWARD);

for (const argument of ["PORT=65536", "HELO=a+2", "HELO=a+zz"]) {
  // Postfix takes any port of five digits, and what is not in xtext as it is.
  const [name, value] = argument.split("=");
  const says = name === "PORT" ? `Bad PORT syntax: ${value}` : `Bad attribute value syntax: ${value}`;
  add(`XFORWARD ${argument}`, [HELO, `XFORWARD ${argument}`], FORWARD, {
    1: ["250 2.0.0 Ok", `501 5.5.4 ${says}`],
  });
}

// --- XCLIENT
const CLIENT: Words = { ...OPEN, smtpd_authorized_xclient_hosts: AUTHORISED };
add("XCLIENT of a stranger", [HELO, "XCLIENT NAME=a.test"]);
add("XCLIENT makes the client trusted, and begins anew", [
  HELO,
  "RCPT TO:<x@evil.test>",
  "XCLIENT ADDR=192.0.2.1 NAME=ours.test",
  FROM,
  "RCPT TO:<x@evil.test>",
  "XCLIENT ADDR=198.51.100.9",
], { ...CLIENT, smtpd_helo_required: "no" });
add("XCLIENT makes a trusted client a stranger", [
  "XCLIENT ADDR=203.0.113.9 NAME=ours.test",
  HELO,
  FROM,
  "RCPT TO:<x@evil.test>",
], CLIENT);
add("XCLIENT in a transaction", [...MAIL, "XCLIENT NAME=a.test"], CLIENT);
add("XCLIENT with a HELO name", ["XCLIENT HELO=bad_name PROTO=SMTP", FROM, TO], {
  ...CLIENT,
  smtpd_helo_required: "yes",
  smtpd_helo_restrictions: "reject_invalid_helo_hostname",
});
add("XCLIENT with names for restrictions", ["XCLIENT NAME=[TEMPUNAVAIL]", HELO, FROM, TO], {
  ...CLIENT,
  smtpd_client_restrictions: "reject_unknown_client_hostname",
});
for (const argument of ["", "FOO=1", "NAME", "ADDR=1.2.3", "PROTO=LMTP", "DESTPORT=x"]) {
  add(`XCLIENT ${argument}`, [HELO, `XCLIENT ${argument}`.trimEnd(), "NOOP"], CLIENT);
}

comparePeers("extensions say what Postfix says", CASES, {});
