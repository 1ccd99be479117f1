import assert from "node:assert/strict";
import { type HostOptions, MailHost } from "./mail_host.ts";

/** What one client does under a configuration, and what it hears. */
interface Case {
  readonly settings: Readonly<Record<string, string>>;
  readonly dns?: HostOptions["dns"];
  readonly address?: string;
  readonly helo?: string;
  readonly sender?: string;
  readonly recipient?: string;
  /** Reply to RCPT, or to the command that refuses. */
  readonly reply: string;
}

const OK = "250 2.1.5 Ok";
const CLIENT = "unknown[198.51.100.9]";
const FOUND = {
  rcode: "ok",
  records: [{ priority: 10, weight: 0, port: 0, value: "mx.ext.test", data: new Uint8Array() }],
} as const;
const NULL_MX = {
  rcode: "ok",
  records: [{ priority: 0, weight: 0, port: 0, value: ".", data: new Uint8Array() }],
} as const;

const LISTED = { rcode: "ok", records: [{ ...FOUND.records[0], value: "127.0.0.2" }] } as const;
/** Records of the type are left out whose text goes on so. */
const dropped = (type: string, text: string) => ({
  smtpd_dns_reply_filter: list([`regexp:{{/ IN ${type} ${text}/ IGNORE}}`]),
});

const relay = (...words: string[]) => ({ smtpd_relay_restrictions: list(words) });
const recipient = (...words: string[]) => ({ smtpd_recipient_restrictions: list(words) });
const client = (...words: string[]) => ({ smtpd_client_restrictions: list(words) });
const helo = (...words: string[]) => ({ smtpd_helo_restrictions: list(words) });
const sender = (...words: string[]) => ({ smtpd_sender_restrictions: list(words) });

function list(words: readonly string[]): string {
  return `[${words.map((word) => `'${word}'`).join(", ")}]`;
}

const VICTIM = "victim@evil.test";
const DENIED = `554 5.7.1 <${VICTIM}>: Relay access denied`;

const CASES: Readonly<Record<string, Case>> = {
  "our own recipients are taken from strangers": { settings: {}, reply: OK },
  "recipients elsewhere are refused to strangers": { settings: {}, recipient: VICTIM, reply: DENIED },
  "recipients elsewhere are taken from mynetworks": {
    settings: {},
    address: "203.0.113.5",
    recipient: VICTIM,
    reply: OK,
  },
  "defer_unauth_destination delays": {
    settings: relay("defer_unauth_destination"),
    recipient: VICTIM,
    reply: `454 4.7.1 <${VICTIM}>: Relay access denied`,
  },
  "the code of reject_unauth_destination is configured, its status code follows": {
    settings: { relay_domains_reject_code: "454" },
    recipient: VICTIM,
    reply: `454 4.7.1 <${VICTIM}>: Relay access denied`,
  },
  "permit_auth_destination then reject": { settings: relay("permit_auth_destination", "reject"), reply: OK },
  "reject behind permit_auth_destination": {
    settings: relay("permit_auth_destination", "reject"),
    recipient: VICTIM,
    reply: `554 5.7.1 <${VICTIM}>: Recipient address rejected: Access denied`,
  },
  "the first OK ends a list": { settings: relay("permit", "reject"), recipient: VICTIM, reply: OK },
  "the first REJECT ends a list": {
    settings: relay("reject", "permit"),
    reply: "554 5.7.1 <alice@local.test>: Recipient address rejected: Access denied",
  },
  "OK in one list does not count in another": {
    settings: { ...client("permit"), ...sender("permit") },
    recipient: VICTIM,
    reply: DENIED,
  },
  "OK in the relay list does not count in the recipient list": {
    settings: { ...relay("permit_mynetworks", "permit_auth_destination", "reject"), ...recipient("reject") },
    reply: "554 5.7.1 <alice@local.test>: Recipient address rejected: Access denied",
  },
  "the recipient list may come first": {
    settings: { ...recipient("defer"), smtpd_relay_before_recipient_restrictions: "false" },
    recipient: VICTIM,
    reply: `450 4.3.2 <${VICTIM}>: Recipient address rejected: Try again later`,
  },
  "the relay list comes first": { settings: recipient("defer"), recipient: VICTIM, reply: DENIED },
  "warn_if_reject does not refuse": { settings: recipient("warn_if_reject", "reject", "permit"), reply: OK },
  "warn_if_reject is for one restriction": {
    settings: recipient("warn_if_reject", "reject", "reject"),
    reply: "554 5.7.1 <alice@local.test>: Recipient address rejected: Access denied",
  },
  "reject in the client list names the client": {
    settings: client("reject"),
    reply: `554 5.7.1 <${CLIENT}>: Client host rejected: Access denied`,
  },
  "reject in the helo list names the helo name": {
    settings: helo("reject"),
    reply: "554 5.7.1 <c.test>: Helo command rejected: Access denied",
  },
  "the helo list says nothing where there was no HELO": { settings: helo("reject"), helo: "", reply: OK },
  "reject in the sender list names the sender": {
    settings: sender("reject"),
    reply: "554 5.7.1 <a@ext.test>: Sender address rejected: Access denied",
  },
  "the null sender is named too": {
    settings: sender("reject"),
    sender: "",
    reply: "554 5.7.1 <>: Sender address rejected: Access denied",
  },
  "reject_code": {
    settings: { ...client("reject"), reject_code: "451" },
    reply: `451 4.7.1 <${CLIENT}>: Client host rejected: Access denied`,
  },
  "permit_mynetworks in the client list": {
    settings: client("permit_mynetworks", "reject"),
    address: "203.0.113.1",
    reply: OK,
  },

  "an access table refuses a client by its address": {
    settings: client("check_client_access", "inline:{{198.51.100.9 = REJECT go away}}"),
    reply: `554 5.7.1 <${CLIENT}>: Client host rejected: go away`,
  },
  "or by its network": {
    settings: client("check_client_access", "inline:{198.51.100=REJECT}"),
    reply: `554 5.7.1 <${CLIENT}>: Client host rejected: Access denied`,
  },
  "a bare table in the client list": {
    settings: client("inline:{198.51=DEFER}"),
    reply: `450 4.7.1 <${CLIENT}>: Client host rejected: Access denied`,
  },
  "a bare table in the helo list": {
    settings: helo("inline:{c.test=REJECT}"),
    reply: "554 5.7.1 <c.test>: Helo command rejected: Access denied",
  },
  "a bare table in the sender list": {
    settings: sender("inline:{{ext.test = 550 5.1.8 no such place}}"),
    reply: "550 5.1.8 <a@ext.test>: Sender address rejected: no such place",
  },
  "a bare table in the recipient list": {
    settings: recipient("inline:{{alice@ = 450 later}}"),
    reply: "450 4.7.1 <alice@local.test>: Recipient address rejected: later",
  },
  "a status code in the text takes the class of the reply": {
    settings: sender("inline:{{a@ext.test = 450 5.1.8 later}}"),
    reply: "450 4.1.8 <a@ext.test>: Sender address rejected: later",
  },
  "the null sender is looked up as <>": {
    settings: sender("inline:{<>=REJECT}"),
    sender: "",
    reply: "554 5.7.1 <>: Sender address rejected: Access denied",
  },
  "DUNNO goes on": {
    settings: sender("inline:{a@ext.test=DUNNO, ext.test=OK}", "reject"),
    reply: "554 5.7.1 <a@ext.test>: Sender address rejected: Access denied",
  },
  "a name that is not in the table goes on": {
    settings: sender("inline:{other.test=OK}", "reject"),
    reply: "554 5.7.1 <a@ext.test>: Sender address rejected: Access denied",
  },
  "OK in an access table of the relay list": {
    settings: {
      smtpd_relay_restrictions: list([
        "check_recipient_access",
        "inline:{evil.test=OK}",
        "reject_unauth_destination",
      ]),
    },
    recipient: VICTIM,
    reply: OK,
  },
  "OK for the domain of a recipient that routes itself does not permit": {
    settings: {
      smtpd_relay_restrictions: list([
        "check_recipient_access",
        "inline:{local.test=OK}",
        "reject_unauth_destination",
      ]),
    },
    recipient: "victim%evil.test@local.test",
    reply: "554 5.7.1 <victim%evil.test@local.test>: Relay access denied",
  },
  "digits alone permit": { settings: sender("inline:{a@ext.test=1234567890}", "reject"), reply: OK },
  "a code without a text permits, as in Postfix": {
    settings: sender("inline:{a@ext.test=554}", "reject"),
    reply: OK,
  },
  "an action that is not known refuses softly": {
    settings: sender("inline:{a@ext.test=NONSENSE}"),
    reply: "451 4.3.5 Server configuration error",
  },
  "a text of the table is made printable": {
    settings: sender("inline:{{a@ext.test = REJECT bell \u0085 end}}"),
    reply: "554 5.7.1 <a@ext.test>: Sender address rejected: bell ? end",
  },
  "421 in a table ends the session": {
    settings: client("inline:{{198.51.100.9 = 421 4.7.0 enough}}"),
    reply: `421 4.7.0 <${CLIENT}>: Client host rejected: enough`,
  },

  "reject_non_fqdn_sender": {
    settings: sender("reject_non_fqdn_sender"),
    sender: "a@host",
    reply: "504 5.5.2 <a@host>: Sender address rejected: need fully-qualified address",
  },
  "reject_non_fqdn_sender takes the null sender": {
    settings: sender("reject_non_fqdn_sender"),
    sender: "",
    reply: OK,
  },
  "reject_non_fqdn_recipient": {
    settings: recipient("reject_non_fqdn_recipient"),
    recipient: "alice",
    reply: "504 5.5.2 <alice>: Recipient address rejected: need fully-qualified address",
  },
  "reject_non_fqdn_recipient takes postmaster": {
    settings: recipient("reject_non_fqdn_recipient"),
    recipient: "postmaster",
    reply: OK,
  },
  "reject_invalid_helo_hostname": {
    settings: helo("reject_invalid_helo_hostname"),
    helo: "-x-",
    reply: "501 5.5.2 <-x->: Helo command rejected: Invalid name",
  },
  "reject_invalid_helo_hostname takes a literal": {
    settings: helo("reject_invalid_helo_hostname"),
    helo: "[198.51.100.9]",
    reply: OK,
  },
  "reject_non_fqdn_helo_hostname": {
    settings: helo("reject_non_fqdn_helo_hostname"),
    helo: "host",
    reply: "504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname",
  },
  "reject_unknown_client_hostname": {
    settings: client("reject_unknown_client_hostname"),
    reply: "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.9]",
  },
  "reject_unknown_sender_domain": {
    settings: sender("reject_unknown_sender_domain"),
    reply: "450 4.1.8 <a@ext.test>: Sender address rejected: Domain not found",
  },
  "its code is configured": {
    settings: { ...sender("reject_unknown_sender_domain"), unknown_address_reject_code: "550" },
    reply: "550 5.1.8 <a@ext.test>: Sender address rejected: Domain not found",
  },
  "reject_unknown_sender_domain does not ask for our own": {
    settings: sender("reject_unknown_sender_domain"),
    sender: "alice@local.test",
    reply: OK,
  },
  "a domain with an MX is known": {
    settings: sender("reject_unknown_sender_domain"),
    dns: { "ext.test MX": FOUND },
    reply: OK,
  },
  "or with an address": {
    settings: sender("reject_unknown_sender_domain"),
    dns: { "ext.test MX": { rcode: "ok" }, "ext.test AAAA": FOUND },
    reply: OK,
  },
  "trouble with DNS is never a lasting refusal": {
    settings: { ...sender("reject_unknown_sender_domain"), unknown_address_reject_code: "550" },
    dns: { "ext.test MX": { rcode: "servfail" } },
    reply: "450 4.1.8 <a@ext.test>: Sender address rejected: Domain not found",
  },
  "records that smtpd_dns_reply_filter drops count for nothing": {
    settings: { ...sender("reject_rhsbl_sender list.test"), ...dropped("A", "127") },
    dns: { "ext.test.list.test A": LISTED },
    reply: OK,
  },
  "others count": {
    settings: { ...sender("reject_rhsbl_sender list.test"), ...dropped("A", "10") },
    dns: { "ext.test.list.test A": LISTED },
    reply: "554 5.7.1 Service unavailable; Sender address [a@ext.test] blocked using list.test",
  },
  "a domain of which it leaves nothing is no unknown one": {
    settings: { ...sender("reject_unknown_sender_domain"), ...dropped("MX", "10") },
    dns: { "ext.test MX": FOUND },
    reply: OK,
  },
  "nor is a client's name": {
    settings: { ...helo("reject_unknown_helo_hostname"), ...dropped("MX", "10") },
    helo: "ext.test",
    dns: { "ext.test MX": FOUND },
    reply: OK,
  },
  "nor has it hosts that a table could know": {
    settings: { ...sender("check_sender_mx_access inline:{mx.ext.test=REJECT}"), ...dropped("MX", "10") },
    dns: { "ext.test MX": FOUND },
    reply: OK,
  },
  "RFC 7505 section 4.2: a sender whose domain takes no mail": {
    settings: sender("reject_unknown_sender_domain"),
    dns: { "ext.test MX": NULL_MX },
    reply: "550 5.7.27 <a@ext.test>: Sender address rejected: Domain ext.test does not accept mail (nullMX)",
  },
  "RFC 7505 section 4.1: a recipient whose domain takes no mail": {
    settings: { ...recipient("reject_unknown_recipient_domain") },
    address: "203.0.113.5",
    recipient: VICTIM,
    dns: { "evil.test MX": NULL_MX },
    reply:
      `556 5.1.10 <${VICTIM}>: Recipient address rejected: Domain evil.test does not accept mail (nullMX)`,
  },
  "reject_unknown_recipient_domain": {
    settings: recipient("reject_unknown_recipient_domain"),
    address: "203.0.113.5",
    recipient: VICTIM,
    reply: `450 4.1.2 <${VICTIM}>: Recipient address rejected: Domain not found`,
  },
  "reject_unknown_recipient_domain does not ask for our own": {
    settings: recipient("reject_unknown_recipient_domain"),
    reply: OK,
  },

  "an unknown local user": {
    settings: {},
    recipient: "nobody@local.test",
    reply: "550 5.1.1 <nobody@local.test>: Recipient address rejected: User unknown in local recipient table",
  },
  "the name of the table can be hidden": {
    settings: { show_user_unknown_table_name: "false" },
    recipient: "nobody@local.test",
    reply: "550 5.1.1 <nobody@local.test>: Recipient address rejected: User unknown",
  },
  "the code for it is configured": {
    settings: { unknown_local_recipient_reject_code: "450" },
    recipient: "nobody@local.test",
    reply: "450 4.1.1 <nobody@local.test>: Recipient address rejected: User unknown in local recipient table",
  },
  "without a table every local user exists": {
    settings: { local_recipient_maps: "[]" },
    recipient: "nobody@local.test",
    reply: OK,
  },
  "an extension does not hide the user": {
    settings: { recipient_delimiter: '"+"' },
    recipient: "alice+x@local.test",
    reply: OK,
  },
  "mailer-daemon is always there": { settings: {}, recipient: "MAILER-DAEMON@local.test", reply: OK },
  "a name that objects have": {
    settings: {},
    recipient: "constructor@local.test",
    reply:
      "550 5.1.1 <constructor@local.test>: Recipient address rejected: User unknown in local recipient table",
  },
  "an unknown virtual mailbox": {
    settings: {
      virtual_mailbox_domains: '["virt.test"]',
      virtual_mailbox_maps: '["inline:{v@virt.test=v/}"]',
    },
    recipient: "w@virt.test",
    reply: "550 5.1.1 <w@virt.test>: Recipient address rejected: User unknown in virtual mailbox table",
  },
  "a known one": {
    settings: {
      virtual_mailbox_domains: '["virt.test"]',
      virtual_mailbox_maps: '["inline:{v@virt.test=v/}"]',
    },
    recipient: "v@virt.test",
    reply: OK,
  },
  "an unknown virtual alias": {
    settings: {
      virtual_alias_domains: '["al.test"]',
      virtual_alias_maps: '["inline:{v@al.test=alice@local.test}"]',
    },
    recipient: "w@al.test",
    reply: "550 5.1.1 <w@al.test>: Recipient address rejected: User unknown in virtual alias table",
  },
  "a known alias": {
    settings: {
      virtual_alias_domains: '["al.test"]',
      virtual_alias_maps: '["inline:{v@al.test=alice@local.test}"]',
    },
    recipient: "v@al.test",
    reply: OK,
  },
  "an alias of a local name": {
    settings: { virtual_alias_maps: '["inline:{x@local.test=alice@local.test}"]' },
    recipient: "x@local.test",
    reply: OK,
  },
  "an unknown relay recipient": {
    settings: { relay_recipient_maps: '["inline:{r@relay.test=x}"]' },
    recipient: "s@relay.test",
    reply: "550 5.1.1 <s@relay.test>: Recipient address rejected: User unknown in relay recipient table",
  },
  "a known relay recipient": {
    settings: { relay_recipient_maps: '["inline:{r@relay.test=x}"]' },
    recipient: "r@relay.test",
    reply: OK,
  },
  "a recipient that the transport table refuses": {
    settings: { transport_maps: '["inline:{{alice@local.test = error:5.2.1 mailbox is closed}}"]' },
    reply: "550 5.2.1 <alice@local.test>: Recipient address rejected: mailbox is closed",
  },
  "one that it delays": {
    settings: { transport_maps: '["inline:{{alice@local.test = error:4.2.1 mailbox is full}}"]' },
    reply: "450 4.2.1 <alice@local.test>: Recipient address rejected: mailbox is full",
  },
  "unknown users pass where they are not looked up": {
    settings: { smtpd_reject_unlisted_recipient: "false" },
    recipient: "nobody@local.test",
    reply: OK,
  },
  "reject_unlisted_recipient looks them up in its place": {
    settings: {
      smtpd_reject_unlisted_recipient: "false",
      ...recipient("reject_unlisted_recipient", "permit"),
    },
    recipient: "nobody@local.test",
    reply: "550 5.1.1 <nobody@local.test>: Recipient address rejected: User unknown in local recipient table",
  },
  "trouble with a table is a soft refusal": {
    settings: { local_recipient_maps: '["unix:group.nosuch"]' },
    recipient: "alice@local.test",
    reply: "451 4.3.0 <alice@local.test>: Temporary lookup failure",
  },
};

for (const [name, one] of Object.entries(CASES)) {
  Deno.test(`restrictions: ${name}`, async () => {
    await using host = new MailHost({
      settings: one.settings,
      ...(one.dns === undefined ? {} : { dns: one.dns }),
    });
    const session = host.connect(one.address);
    await session.reply();
    if (one.helo !== "") await session.say(`EHLO ${one.helo ?? "c.test"}`);
    assert.equal(await session.say(`MAIL FROM:<${one.sender ?? "a@ext.test"}>`), "250 2.1.0 Ok");
    assert.equal(await session.say(`RCPT TO:<${one.recipient ?? "alice@local.test"}>`), one.reply);
  });
}

Deno.test("restrictions: warn_if_reject logs what it would have refused", async () => {
  await using host = new MailHost({ settings: sender("warn_if_reject", "reject") });
  const session = await host.greeted();
  await session.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>");
  const line =
    `NOQUEUE: reject_warning: RCPT from ${CLIENT}: 554 5.7.1 <a@ext.test>: Sender address rejected: Access denied; ` +
    "from=<a@ext.test> to=<alice@local.test> proto=ESMTP helo=<c.test>";
  const logged = host.log.find((one) => one.startsWith(line)) ?? "";
  assert.match(
    logged.slice(line.length),
    /^ reply=[0-9B-Z]{8} rule="reject" in=smtpd_sender_restrictions at=\/conf\/main\.toml:[0-9]+$/,
  );
});

Deno.test("restrictions: the data list decides at DATA, with all that is known", async () => {
  await using host = new MailHost({
    settings: { smtpd_data_restrictions: "['check_sender_access', 'inline:{a@ext.test=REJECT}']" },
  });
  const session = await host.greeted();
  const replies = await session.says(
    "MAIL FROM:<a@ext.test>",
    "RCPT TO:<alice@local.test>",
    "DATA",
    "RSET",
    "MAIL FROM:<b@ext.test>",
    "RCPT TO:<alice@local.test>",
    "DATA",
  );
  assert.equal(replies[2], "554 5.7.1 <a@ext.test>: Sender address rejected: Access denied");
  assert.equal(replies[6], "354 End data with <CR><LF>.<CR><LF>");
});

Deno.test("restrictions: reject in the data list names the command", async () => {
  await using host = new MailHost({ settings: { smtpd_data_restrictions: "['reject']" } });
  const session = await host.greeted();
  const replies = await session.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>", "DATA");
  assert.equal(replies[2], "554 5.7.1 <DATA>: Data command rejected: Access denied");
});

Deno.test("restrictions: what was accepted a moment ago counts only for clients of the same standing", async () => {
  await using host = new MailHost();
  const trusted = await host.greeted("203.0.113.5");
  assert.deepEqual(await trusted.says("MAIL FROM:<a@ext.test>", `RCPT TO:<${VICTIM}>`), ["250 2.1.0 Ok", OK]);
  const stranger = await host.greeted();
  assert.deepEqual(await stranger.says("MAIL FROM:<a@ext.test>", `RCPT TO:<${VICTIM}>`), [
    "250 2.1.0 Ok",
    DENIED,
  ]);
});

Deno.test("restrictions: a recipient that is refused for one sender is looked at anew for each", async () => {
  await using host = new MailHost({
    settings: {
      sender_dependent_default_transport_maps: '["inline:{{b@ext.test = error:5.7.1 not for you}}"]',
      default_transport: '"smtp:"',
    },
  });
  const session = await host.greeted("203.0.113.5");
  assert.deepEqual(
    await session.says(
      "MAIL FROM:<a@ext.test>",
      `RCPT TO:<${VICTIM}>`,
      "RSET",
      "MAIL FROM:<b@ext.test>",
      `RCPT TO:<${VICTIM}>`,
    ),
    [
      "250 2.1.0 Ok",
      OK,
      "250 2.0.0 Ok",
      "250 2.1.0 Ok",
      `550 5.7.1 <${VICTIM}>: Recipient address rejected: not for you`,
    ],
  );
});

Deno.test("restrictions: a table that fails delays an access check", async () => {
  await using host = new MailHost({ settings: sender("check_sender_access", "unix:group.nosuch") });
  const session = await host.greeted();
  assert.deepEqual(
    (await session.says("MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>"))[1],
    "451 4.3.5 <a@ext.test>: Sender address rejected: Server configuration error",
  );
});
