/** Restrictions beside Debian's Postfix: each case is one dialogue, held with both. @module */
import { type ClientFacts, comparePeers, type PeerCase, type Words } from "./peer_dialogue.ts";
import type { Zone } from "../support/scripted_dns.ts";

/** What DNS says of the names in the cases. */
const ZONE: Zone = {
  "ext.test MX": ["10 mx1.ext.test", "20 mx2.ext.test"],
  "mx1.ext.test A": ["198.51.100.21"],
  "mx2.ext.test A": ["198.51.100.22"],
  "ext.test NS": ["ns.hoster.test"],
  "ns.hoster.test A": ["198.51.100.53"],
  "host.ext.test A": ["198.51.100.9"],
  "addressonly.test A": ["198.51.100.30"],
  "nullmx.test MX": ["0 ."],
  "nodata.test TXT": ["nothing else"],
  "broken.test MX": "servfail",
  "broken.test A": "servfail",
  "broken.test AAAA": "servfail",
  "broken.test NS": "servfail",
  "9.100.51.198.list.test A": ["127.0.0.2"],
  "9.100.51.198.list.test TXT": ["bad host, see https://list.test/"],
  "9.100.51.198.many.test A": ["127.0.0.4", "127.0.1.9"],
  "9.100.51.198.broken-list.test A": "servfail",
  "9.100.51.198.good.test A": ["127.0.0.1"],
  "host.ext.test.names.test A": ["127.0.0.2"],
  "ext.test.names.test A": ["127.0.0.2"],
  "ext.test.names.test TXT": ["spam domain"],
  "c.test.names.test A": ["127.0.0.3"],
  "local.test.names.test A": ["127.0.0.2"],
};

const HELO = "EHLO c.test";
const FROM = "MAIL FROM:<a@ext.test>";
const TO = "RCPT TO:<alice@local.test>";
const VICTIM = "RCPT TO:<victim@evil.test>";
const MAIL = [HELO, FROM, TO];

const lists = (start: string) => (value: string): Words => ({ [`smtpd_${start}_restrictions`]: value });
const client = lists("client");
const helo = lists("helo");
const sender = lists("sender");
const relay = lists("relay");
const recipient = lists("recipient");
const data = lists("data");
const endOfData = lists("end_of_data");

const MESSAGE = ["DATA", "Subject: x\r\n\r\ntext\r\n."];

const CASES: PeerCase[] = [];

/** Adds a case. */
function add(
  name: string,
  settings: Words,
  says: readonly string[] = MAIL,
  facts?: Partial<ClientFacts>,
  differs?: PeerCase["differs"],
): void {
  CASES.push({
    name,
    settings,
    says,
    ...(facts === undefined ? {} : { client: facts }),
    ...(differs === undefined ? {} : { differs }),
  });
}

// --- what lists do, each kind of list
const LISTS = { client, helo, sender, relay, recipient, data, end_of_data: endOfData };
const SAFE = "reject_unauth_destination";
for (const [name, list] of Object.entries(LISTS)) {
  const says = [...MAIL, ...MESSAGE.slice(0, name === "data" ? 1 : name === "end_of_data" ? 2 : 0)];
  // Postfix does not start without a working one.
  const head = name === "relay" ? `${SAFE}, ` : "";
  for (
    const words of [
      "permit",
      "reject",
      "defer",
      "permit_mynetworks, reject",
      "defer_if_permit",
      "defer_if_reject, reject",
      "defer_if_reject, permit",
      "defer_if_permit, reject",
      "warn_if_reject reject",
      "warn_if_reject reject, defer",
      "warn_if_reject defer_if_permit",
      "reject_plaintext_session",
      "reject_unauth_pipelining",
      "reject_multi_recipient_bounce",
      "permit_sasl_authenticated, reject",
      "permit_tls_clientcerts, permit_tls_all_clientcerts, reject",
    ]
  ) add(`${name}: ${words}`, list(head + words), says);
}
add("all lists in turn: defer_if_permit of the client is kept", {
  ...client("defer_if_permit"),
  ...sender("permit"),
});
add("defer_if_permit, then an unknown user", client("defer_if_permit"), [
  HELO,
  FROM,
  "RCPT TO:<nobody@local.test>",
]);
add("defer_if_permit, then relay denied", client("defer_if_permit"), [HELO, FROM, VICTIM]);
add("defer_if_reject stays in its list", { ...sender("defer_if_reject"), ...recipient("reject") });
add("the relay list comes first", recipient("defer"), [HELO, FROM, VICTIM]);
add("the recipient list first", { ...recipient("defer"), smtpd_relay_before_recipient_restrictions: "no" }, [
  HELO,
  FROM,
  VICTIM,
]);
add("codes are configured", { ...client("reject"), reject_code: "550" });
add("a soft code gives a soft status", { ...client("reject"), reject_code: "450" });
add("defer_code", { ...client("defer"), defer_code: "421" });
add("plaintext_reject_code", { ...client("reject_plaintext_session"), plaintext_reject_code: "530" });
add("soft_bounce", { ...client("reject"), soft_bounce: "yes" });
add("postmaster is always taken", recipient("reject"), [
  HELO,
  FROM,
  "RCPT TO:<postmaster>",
  "RCPT TO:<Postmaster>",
]);
add("without HELO the helo list is silent", helo("reject"), [FROM, TO]);

// --- delayed or not
const NOW = { smtpd_delay_reject: "no" };
add("at once: client", { ...NOW, ...client("inline:{198.51.100.9=REJECT}") }, [
  HELO,
  FROM,
  TO,
  "NOOP",
  "RSET",
  "QUIT",
]);
add("at once: client 521", { ...NOW, ...client("inline:{ { 198.51.100.9 = 521 5.7.1 no } }") }, []);
add("at once: helo", { ...NOW, ...helo("reject") }, [HELO, "HELO c.test", FROM, TO]);
add("at once: sender", { ...NOW, ...sender("inline:{a@ext.test=REJECT}") }, [
  HELO,
  FROM,
  "MAIL FROM:<b@ext.test>",
  TO,
]);
add("at once: recipient restrictions in the client list say nothing", {
  ...NOW,
  ...client("reject_unauth_destination, reject_non_fqdn_recipient"),
}, [HELO, FROM, TO, VICTIM]);
add("at once: sender restrictions in the client list say nothing", {
  ...NOW,
  ...client("reject_non_fqdn_sender, check_sender_access inline:{a@ext.test=REJECT}"),
});
add("at once: defer_if_permit of the client reaches RCPT", { ...NOW, ...client("defer_if_permit") });
add("at once: defer_if_permit of HELO reaches RCPT", { ...NOW, ...helo("defer_if_permit") }, [
  HELO,
  FROM,
  VICTIM,
  TO,
]);
add("at once: defer_if_permit of the sender reaches RCPT", { ...NOW, ...sender("defer_if_permit") });

// --- client names
const NAMED = { name: "host.ext.test" };
const REVERSE = { name: "unknown", reverse: "host.ext.test" };
const TEMPORARY = { name: "tempfail", reverse: "tempfail" };
for (
  const [name, facts] of Object.entries({
    unknown: {},
    named: NAMED,
    "reverse only": REVERSE,
    temporary: TEMPORARY,
  })
) {
  add(`reject_unknown_client_hostname: ${name}`, client("reject_unknown_client_hostname"), MAIL, facts);
  add(
    `reject_unknown_client_hostname, 554: ${name}`,
    { ...client("reject_unknown_client_hostname"), unknown_client_reject_code: "554" },
    MAIL,
    facts,
  );
  add(
    `reject_unknown_reverse_client_hostname: ${name}`,
    { ...client("reject_unknown_reverse_client_hostname"), unknown_client_reject_code: "550" },
    MAIL,
    facts,
  );
  add(
    `check_client_access by name: ${name}`,
    client("check_client_access inline:{host.ext.test=REJECT, unknown=DEFER}"),
    MAIL,
    facts,
  );
  add(
    `check_client_access by parent: ${name}`,
    client("check_client_access inline:{.ext.test=REJECT, ext.test=DEFER}"),
    MAIL,
    facts,
  );
  add(
    `check_reverse_client_hostname_access: ${name}`,
    client("check_reverse_client_hostname_access inline:{host.ext.test=REJECT}"),
    MAIL,
    facts,
  );
  add(
    `check_reverse_client_hostname_access may not permit: ${name}`,
    client("check_reverse_client_hostname_access inline:{host.ext.test=OK}"),
    MAIL,
    facts,
  );
  add(`reject_rhsbl_client: ${name}`, client("reject_rhsbl_client names.test"), MAIL, facts);
  add(`reject_rhsbl_reverse_client: ${name}`, client("reject_rhsbl_reverse_client names.test"), MAIL, facts);
  add(
    `check_client_ns_access: ${name}`,
    client("check_client_ns_access inline:{ns.hoster.test=REJECT}"),
    MAIL,
    facts,
  );
  add(
    `check_client_a_access: ${name}`,
    client("check_client_a_access inline:{198.51.100.9=REJECT}"),
    MAIL,
    facts,
  );
  add(
    `check_reverse_client_hostname_a_access: ${name}`,
    client("check_reverse_client_hostname_a_access inline:{198.51.100.9=DEFER}"),
    MAIL,
    facts,
  );
}
add("permit_mynetworks by address", client("permit_mynetworks, reject"), [HELO, FROM, VICTIM], {
  address: "203.0.113.7",
});
for (const key of ["198.51.100.9", "198.51.100", "198.51", "198"]) {
  add(`check_client_access by ${key}`, client(`inline:{ { ${key} = 550 5.7.9 go } }`));
}
add("check_client_access cidr", client("check_client_access cidr:{{198.51.100.0/24 REJECT}}"));

// --- HELO names
for (
  const name of [
    "c.test",
    "host",
    "-x-",
    "a..b",
    "a_b.test",
    "192.0.2.1",
    "[192.0.2.1]",
    "[192.0.2.999]",
    "[IPv6:2001:db8::1]",
    "host.ext.test",
    "nothere.test",
    "nodata.test",
    "broken.test",
    "c.test.",
  ]
) {
  const says = [`EHLO ${name}`, FROM, TO];
  add(`reject_invalid_helo_hostname: ${name}`, helo("reject_invalid_helo_hostname"), says);
  add(`reject_non_fqdn_helo_hostname: ${name}`, helo("reject_non_fqdn_helo_hostname"), says);
  add(`reject_unknown_helo_hostname: ${name}`, helo("reject_unknown_helo_hostname"), says);
}
add("reject_unknown_helo_hostname, 550", {
  ...helo("reject_unknown_helo_hostname"),
  unknown_hostname_reject_code: "550",
}, [
  "EHLO nothere.test",
  FROM,
  TO,
]);
add("reject_unknown_helo_hostname defers at once", {
  ...helo("reject_unknown_helo_hostname, reject"),
  unknown_helo_hostname_tempfail_action: "defer",
}, ["EHLO broken.test", FROM, TO]);
add("check_helo_access", helo("inline:{c.test=REJECT}"));
add("check_helo_access by parent", helo("check_helo_access inline:{.test=REJECT, test=DEFER}"));
add("check_helo_mx_access", helo("check_helo_mx_access inline:{mx1.ext.test=REJECT}"), [
  "EHLO ext.test",
  FROM,
  TO,
]);
add("check_helo_ns_access", helo("check_helo_ns_access inline:{ns.hoster.test=REJECT}"), [
  "EHLO deep.sub.ext.test",
  FROM,
  TO,
]);
add("check_helo_a_access", helo("check_helo_a_access inline:{198.51.100.9=REJECT}"), [
  "EHLO host.ext.test",
  FROM,
  TO,
]);
add("reject_rhsbl_helo", helo("reject_rhsbl_helo names.test"));
add("reject_rhsbl_helo of another answer", helo("reject_rhsbl_helo names.test=127.0.0.2"));

// --- senders
for (
  const address of [
    "a@ext.test",
    "a@host",
    "a",
    "",
    "a@addressonly.test",
    "a@nothere.test",
    "a@nullmx.test",
    "a@nodata.test",
    "a@broken.test",
    "alice@local.test",
    "nobody@local.test",
    "a@[192.0.2.7]",
    "x@relay.test",
  ]
) {
  const says = [HELO, `MAIL FROM:<${address}>`, TO];
  add(`reject_non_fqdn_sender: <${address}>`, sender("reject_non_fqdn_sender"), says);
  add(`reject_unknown_sender_domain: <${address}>`, sender("reject_unknown_sender_domain"), says);
  add(`reject_unlisted_sender: <${address}>`, sender("reject_unlisted_sender"), says);
  add(`reject_rhsbl_sender: <${address}>`, sender("reject_rhsbl_sender names.test"), says);
  add(`check_sender_access: <${address}>`, sender("inline:{ext.test=REJECT, <>=DEFER, alice@=550 no}"), says);
}
add("reject_unknown_sender_domain, 550", {
  ...sender("reject_unknown_sender_domain"),
  unknown_address_reject_code: "550",
}, [
  HELO,
  "MAIL FROM:<a@nothere.test>",
  TO,
]);
add("reject_unknown_sender_domain defers what cannot be told, and refuses what can", {
  ...sender("reject_unknown_sender_domain, reject"),
}, [HELO, "MAIL FROM:<a@broken.test>", TO]);
add("unknown_address_tempfail_action = defer", {
  ...sender("reject_unknown_sender_domain, reject"),
  unknown_address_tempfail_action: "defer",
}, [HELO, "MAIL FROM:<a@broken.test>", TO]);
add("smtpd_reject_unlisted_sender", { smtpd_reject_unlisted_sender: "yes" }, [
  HELO,
  "MAIL FROM:<nobody@local.test>",
  TO,
]);
add("smtpd_null_access_lookup_key", {
  ...sender("inline:{null=REJECT}"),
  smtpd_null_access_lookup_key: "null",
}, [
  HELO,
  "MAIL FROM:<>",
  TO,
]);
for (const kind of ["mx", "ns", "a"]) {
  for (
    const key of [
      "mx1.ext.test",
      "198.51.100.21",
      "198.51.100",
      "ns.hoster.test",
      "hoster.test",
      "198.51.100.53",
    ]
  ) {
    add(`check_sender_${kind}_access ${key}`, sender(`check_sender_${kind}_access inline:{${key}=REJECT}`));
  }
  add(`check_sender_${kind}_access may not permit`, sender(`check_sender_${kind}_access static:OK`), [
    HELO,
    "MAIL FROM:<a@host.ext.test>",
    TO,
  ]);
}
add(
  "check_sender_mx_access of a domain without MX",
  sender("check_sender_mx_access inline:{198.51.100.30=REJECT}"),
  [
    HELO,
    "MAIL FROM:<a@addressonly.test>",
    TO,
  ],
);
add("check_sender_mx_access of a literal", sender("check_sender_mx_access inline:{192.0.2.7=REJECT}"), [
  HELO,
  "MAIL FROM:<a@[192.0.2.7]>",
  TO,
]);
const DOUBTFUL =
  "450 4.4.3 <a@broken.test>: Sender address rejected: Unable to look up mail exchanger information";
for (const kind of ["mx", "ns"]) {
  add(
    `check_sender_${kind}_access that cannot be looked up`,
    sender(`check_sender_${kind}_access inline:{x.test=REJECT}`),
    [HELO, "MAIL FROM:<a@broken.test>", TO],
    {},
    { 2: ["250 2.1.5 Ok", DOUBTFUL] },
  );
}

// --- recipients
for (
  const address of [
    "alice@local.test",
    "nobody@local.test",
    "alice",
    "alice@host",
    "x@relay.test",
    "victim@evil.test",
    "victim@ext.test",
    "victim@nullmx.test",
    "victim@broken.test",
    "victim%evil.test@local.test",
    "@local.test:victim@evil.test",
    '"victim@evil.test"@local.test',
    "alice@[127.0.0.1]",
  ]
) {
  const to = `RCPT TO:<${address}>`;
  add(`default lists: <${address}>`, {}, [HELO, FROM, to]);
  add(`defer_unauth_destination: <${address}>`, relay("defer_unauth_destination"), [HELO, FROM, to]);
  add(`permit_auth_destination, reject: <${address}>`, relay("permit_auth_destination, reject"), [
    HELO,
    FROM,
    to,
  ]);
  add(`reject_non_fqdn_recipient: <${address}>`, recipient("reject_non_fqdn_recipient"), [HELO, FROM, to], {
    address: "203.0.113.9",
  });
  add(`reject_unknown_recipient_domain: <${address}>`, recipient("reject_unknown_recipient_domain"), [
    HELO,
    FROM,
    to,
  ], {
    address: "203.0.113.9",
  });
  add(
    `check_recipient_access: <${address}>`,
    recipient("inline:{alice@local.test=REJECT, local.test=550 no, evil.test=OK, victim@=DEFER}"),
    [
      HELO,
      FROM,
      to,
    ],
    { address: "203.0.113.9" },
  );
  add(
    `a table that permits all before the relay check: <${address}>`,
    relay(`check_recipient_access static:OK, ${SAFE}`),
    [
      HELO,
      FROM,
      to,
    ],
  );
}
add("relay_domains_reject_code", { relay_domains_reject_code: "550" }, [HELO, FROM, VICTIM]);
add("reject_rhsbl_recipient", recipient("reject_rhsbl_recipient names.test"));
add("check_recipient_mx_access", recipient("check_recipient_mx_access inline:{mx1.ext.test=REJECT}"), [
  HELO,
  FROM,
  "RCPT TO:<victim@ext.test>",
], { address: "203.0.113.9" });
add("reject_unlisted_recipient before another", recipient("reject_unlisted_recipient, defer"), [
  HELO,
  FROM,
  "RCPT TO:<nobody@local.test>",
  TO,
]);
add("an unknown user is taken where nobody asks", { smtpd_reject_unlisted_recipient: "no" }, [
  HELO,
  FROM,
  "RCPT TO:<nobody@local.test>",
]);
add("reject_multi_recipient_bounce in data", data("reject_multi_recipient_bounce"), [
  HELO,
  "MAIL FROM:<>",
  TO,
  "RCPT TO:<bob@local.test>",
  "DATA",
]);
add("its code", { ...data("reject_multi_recipient_bounce"), multi_recipient_bounce_reject_code: "450" }, [
  HELO,
  "MAIL FROM:<>",
  TO,
  "RCPT TO:<bob@local.test>",
  "DATA",
]);

// --- DNS lists
for (
  const list of [
    "list.test",
    "list.test=127.0.0.2",
    "list.test=127.0.0.3",
    "many.test=127.0.1.[1..9]",
    "many.test=127.0.[2..5].9",
    "many.test=127.0.0.[1;4]",
    "free.test",
    "broken-list.test",
  ]
) {
  add(`reject_rbl_client ${list}`, client(`reject_rbl_client ${list}`));
  add(`permit_dnswl_client ${list}, reject`, client(`permit_dnswl_client ${list}, reject`));
}
add("permit_dnswl_client does not relay", relay("permit_dnswl_client good.test, reject_unauth_destination"), [
  HELO,
  FROM,
  VICTIM,
  TO,
]);
add("permit_rhswl_client", client("permit_rhswl_client names.test, reject"), MAIL, NAMED);
add("maps_rbl_reject_code", { ...client("reject_rbl_client list.test"), maps_rbl_reject_code: "450" });
add("rbl_reply_maps", {
  ...client("reject_rbl_client list.test"),
  rbl_reply_maps: "inline:{ { list.test = $$rbl_code 5.7.13 $$rbl_class $$rbl_what by $$rbl_domain } }",
});
add("rbl_reply_maps for a filter", {
  ...client("reject_rbl_client list.test=127.0.0.2"),
  rbl_reply_maps: "static:{521 4.7.1 no}",
}, [HELO, FROM]);
add("default_rbl_reply", {
  ...sender("reject_rhsbl_sender names.test"),
  default_rbl_reply:
    "550 5.7.8 $client|$client_address|$client_name|$helo_name|$sender|$sender_name|$sender_domain|${rbl_reason?why: $rbl_reason}",
});

// --- access table actions
for (
  const [action, second] of Object.entries({
    "OK": "reject",
    "ok": "reject",
    "1234": "reject",
    "REJECT": "",
    "REJECT no thanks": "",
    "REJECT 5.7.9 no thanks": "",
    "reject 4.7.9 later": "",
    "DEFER": "",
    "DEFER 4.2.1 later": "",
    "DEFER 5.2.1 later": "",
    "DEFER_IF_PERMIT": "",
    "DEFER_IF_PERMIT 4.2.1 greylisted": "",
    "DEFER_IF_PERMIT greylisted": "reject",
    "DEFER_IF_REJECT": "reject",
    "DEFER_IF_REJECT 4.2.1 why": "reject",
    "450 wait": "",
    "450 4.2.0 wait": "",
    "550 no": "",
    "550 5.2.0 no": "",
    "550 4.2.0 odd": "",
    "554": "reject",
    "421 4.7.0 bye": "",
    "521 5.7.0 bye": "",
    "DUNNO": "reject",
    "INFO told": "reject",
    "WARN told": "reject",
    "HOLD": "reject",
    "HOLD why": "",
    "DISCARD": "reject",
    "DISCARD why": "",
    "FILTER smtp:[192.0.2.1]": "reject",
    "FILTER": "reject",
    "FILTER nonsense": "reject",
    "REDIRECT bob@local.test": "reject",
    "REDIRECT bob": "reject",
    "BCC bob@local.test": "reject",
    "BCC bob": "reject",
    "PREPEND X-Test: yes": "reject",
    "PREPEND nonsense": "reject",
    "PREPEND": "reject",
    "permit": "reject",
    "reject": "",
    "defer": "",
    "permit_mynetworks, defer": "",
    "reject_unauth_pipelining, reject": "",
    "warn_if_reject reject": "defer",
    "reject_non_fqdn_sender": "",
    "nonsense": "",
    "check_client_access static:OK": "",
    "named_class": "",
  })
) {
  const more = second === "" ? "" : `, ${second}`;
  const classes = { smtpd_restriction_classes: "named_class", named_class: "permit_mynetworks, reject" };
  for (
    const [name, list, key] of [["sender", sender, "a@ext.test"], ["client", client, "198.51.100.9"]] as const
  ) {
    add(`${name} table: ${action}${more}`, {
      ...classes,
      ...list(`inline:{ { ${key} = ${action} } }${more}`),
    });
  }
}
for (
  const status of [
    "5.1.0",
    "5.1.1",
    "5.1.2",
    "5.1.3",
    "5.1.4",
    "5.1.5",
    "5.1.6",
    "5.1.7",
    "5.1.8",
    "5.1.9",
    "5.2.1",
    "4.1.8",
  ]
) {
  for (
    const [name, list, key] of [
      ["client", client, "198.51.100.9"],
      ["helo", helo, "c.test"],
      ["sender", sender, "a@ext.test"],
      ["recipient", recipient, "alice@local.test"],
    ] as const
  ) add(`${name} table: 550 ${status} text`, list(`inline:{ { ${key} = 550 ${status} text } }`));
}
add("access_map_reject_code", { ...client("inline:{198.51.100.9=REJECT}"), access_map_reject_code: "550" });
add("access_map_defer_code", { ...client("inline:{198.51.100.9=DEFER}"), access_map_defer_code: "451" });
add("DISCARD takes all recipients that follow", sender("inline:{a@ext.test=DISCARD}"), [
  HELO,
  FROM,
  "RCPT TO:<nobody@local.test>",
  VICTIM,
]);
add("DISCARD of one recipient discards all", recipient("inline:{alice@local.test=DISCARD}, permit"), [
  HELO,
  FROM,
  "RCPT TO:<nobody@local.test>",
  TO,
  "RCPT TO:<nobody@local.test>",
  ...MESSAGE,
]);
add("a table that fails", client("check_client_access fail:x"));
add("a table that fails, only to warn", client("warn_if_reject check_client_access fail:x"));
add("a table that fails behind a permission", client("permit, check_client_access fail:x"));
add("a sender's table that fails", sender("check_sender_access fail:x"));
add("a recipient's table that fails", recipient("check_recipient_access fail:x"));
add("local_recipient_maps that fail", { local_recipient_maps: "fail:x" });

// --- classes
const CLASSES = {
  smtpd_restriction_classes: "strict, outer",
  strict: "reject_non_fqdn_sender, reject_unknown_sender_domain",
  outer: "strict, defer",
};
add("a class in a list", { ...CLASSES, ...recipient("strict") }, [HELO, "MAIL FROM:<a@host>", TO]);
add("a class that says nothing", { ...CLASSES, ...recipient("strict, reject") });
add("a class in a class", { ...CLASSES, ...recipient("outer") });
add("a class by a table", {
  ...CLASSES,
  ...recipient("check_recipient_access inline:{alice@local.test=outer}"),
});
add("a class that is only to warn", { ...CLASSES, ...recipient("warn_if_reject outer, permit") });
add("the words of a class are those of its list", {
  ...CLASSES,
  strict: "reject",
  ...client("strict"),
});

// --- sender logins where nobody can log in
for (const name of ["", "known_", "authenticated_", "unauthenticated_"]) {
  add(`reject_${name}sender_login_mismatch`, {
    ...sender(`reject_${name}sender_login_mismatch`),
    smtpd_sender_login_maps: "inline:{a@ext.test=user}",
  });
}

// --- footers
add("smtpd_reject_footer", {
  ...client("reject"),
  smtpd_reject_footer: "see https://mx.test/ for $client_address",
});
add("smtpd_reject_footer on the same line", {
  ...client("reject"),
  smtpd_reject_footer: "\\c. Ask $server_name",
});
add("smtpd_reject_footer of two lines", { ...client("reject"), smtpd_reject_footer: "one\\ntwo" });
add("smtpd_reject_footer_maps", {
  ...client("reject"),
  smtpd_reject_footer: "other",
  smtpd_reject_footer_maps: "regexp:{{/^554/ mapped}}",
});

// --- VRFY and ETRN
add("VRFY meets the lists", recipient("inline:{bob@local.test=REJECT}"), [
  HELO,
  "VRFY alice@local.test",
  "VRFY bob@local.test",
  "VRFY victim@evil.test",
]);

comparePeers("restrictions say what Postfix says", CASES, ZONE);
