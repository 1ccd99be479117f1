/** Messages and configurations that cleanup and Debian's are compared on. Not a test itself. @module */

/** One message. */
export interface PeerCase {
  readonly name: string;
  readonly sender?: string;
  readonly recipients?: readonly string[];
  /** RCPT's parameters. */
  readonly rcpt?: string;
  /** Lines of the message, one character for each byte. */
  readonly lines: readonly string[];
}

/** A configuration, in Postfix's notation; `$dir` stands for where `files` are. */
export interface PeerGroup {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly cases: readonly PeerCase[];
}

const HEADERS = ["From: a@x.test", "To: b@y.test", "Message-Id: <m@x.test>", "Date: d"];
const simple = (
  name: string,
  more: readonly string[] = [],
  body: readonly string[] = ["text"],
): PeerCase => ({
  name,
  lines: [...HEADERS, ...more, "", ...body],
});
const to = (name: string, ...recipients: string[]): PeerCase => ({ ...simple(name), recipients });
const from = (name: string, sender: string): PeerCase => ({ ...simple(name), sender });
const withHeaders = (name: string, ...headers: string[]): PeerCase => ({
  name,
  lines: ["Message-Id: <m@x.test>", "Date: d", ...headers, "", "text"],
});

const multipart = (name: string, head: readonly string[], ...lines: string[]): PeerCase => ({
  name,
  lines: [...HEADERS, "MIME-Version: 1.0", ...head, "", ...lines],
});
const MIXED = 'Content-Type: multipart/mixed; boundary="b"';
const nested = (depth: number): string[] =>
  Array.from({ length: depth }, (_, i) => [
    `--n${i - 1}`,
    `Content-Type: multipart/mixed; boundary=n${i}`,
    "",
  ]).flat().slice(1);

const CHECKS = `/^Subject: reject-plain/ REJECT
/^Subject: reject-text/ REJECT no such thing
/^Subject: reject-code/ REJECT 5.6.7 with a code
/^Subject: reject-soft/ REJECT 4.2.1 later
/^Subject: reject-odd/ REJECT 2.0.0 odd code
/^Subject: warn (.*)/ WARN found $1
/^Subject: info/ INFO
/^Subject: ignore/ IGNORE
/^Subject: strip/ STRIP text of strip
/^Subject: replace (.*)/ REPLACE Subject: new $1
/^Subject: replace-none/ REPLACE
/^Subject: rename/ REPLACE X-Subject: renamed
/^Subject: badreplace/ REPLACE no header
/^Subject: prepend/ PREPEND X-Before: it
/^Subject: badprepend/ PREPEND nothing
/^Subject: hold/ HOLD looked at
/^Subject: discard/ DISCARD gone
/^Subject: filter/ FILTER discard:[filter.test]
/^Subject: badfilter/ FILTER nowhere
/^Subject: nofilter/ FILTER
/^Subject: redirect/ REDIRECT other@z.test
/^Subject: badredirect/ REDIRECT other
/^Subject: bcc/ BCC copy@z.test
/^Subject: badbcc/ BCC copy
/^Subject: pass/ PASS no more
/^Subject: dunno/ DUNNO
/^Subject: ok/ OK
/^Subject: unknown/ FROBNICATE this
/^Subject: case/ reject lower case
/^X-Reject:/ REJECT second
/^X-Long:(.*)tail/ WARN long
/^X-Fold: a$/m WARN folded
/^Received:/ DUNNO
/^To: ignored/ IGNORE
/^Content-Type: .*evil/ REJECT mime header
/^Content-Disposition:.*exe/ WARN attachment
/^X-Blank: v$/ WARN blank before colon
`;

const subject = (text: string, ...more: string[]): PeerCase => simple(text, [`Subject: ${text}`, ...more]);

/** Every configuration with its messages. */
export const PEER_GROUPS: readonly PeerGroup[] = [
  {
    name: "header_checks",
    settings: { header_checks: "regexp:$dir/checks" },
    files: { checks: CHECKS },
    cases: [
      ...[
        "reject-plain",
        "reject-text",
        "reject-code",
        "reject-soft",
        "reject-odd",
        "warn me",
        "info",
        "ignore",
        "strip",
        "replace this",
        "rename",
        "badreplace",
        "prepend",
        "badprepend",
        "hold",
        "discard",
        "filter",
        "badfilter",
        "nofilter",
        "redirect",
        "badredirect",
        "bcc",
        "badbcc",
        "dunno",
        "ok",
        "unknown",
        "case",
      ].map((text) => subject(text)),
      subject("pass", "X-Reject: not seen"),
      subject("hold", "X-Reject: seen"),
      subject("redirect", "X-Reject: not seen either"),
      subject("discard", "X-Reject: nor this"),
      subject("bcc", "Subject: bcc"),
      subject("filter", "Subject: hold", "Subject: bcc"),
      simple("a long header", [`X-Long: ${"x".repeat(3000)}`, `\t${"y".repeat(3000)}tail`]),
      simple("a folded header", ["X-Fold: a", "\tb"]),
      simple("a blank before the colon", ["X-Blank : v"]),
      simple("bytes that are no UTF-8", ["Subject: replace \xe9\xff end"]),
      withHeaders("a header that goes is missing", "From: a@x.test", "To: ignored"),
      multipart("a part's header", [MIXED], "--b", "Content-Type: text/evil", "", "x", "--b--"),
      multipart(
        "a part's disposition",
        [MIXED],
        "--b",
        "Content-Disposition: attachment; filename=a.exe",
        "",
        "x",
      ),
      multipart("a nested header", ["Content-Type: message/rfc822"], "Subject: warn nested", "", "x"),
      multipart("behind the end", [MIXED], "--b", "", "x", "--b--", "Content-Type: text/evil", "", "y"),
      multipart("a boundary with text behind", [MIXED], "--bxyz", "Content-Disposition: exe", "", "x"),
      multipart(
        "a digest",
        ['Content-Type: multipart/digest; boundary="b"'],
        "--b",
        "",
        "Subject: info",
        "",
        "x",
        "--b--",
      ),
      multipart("a partial message", ["Content-Type: message/partial"], "Subject: reject-plain", "", "x"),
      multipart("a body that looks like a header", ["Content-Type: text/plain"], "Subject: reject-plain"),
      multipart(
        "an inner boundary that is missing",
        [MIXED],
        "--b",
        "Content-Type: multipart/mixed; boundary=c",
        "",
        "--c",
        "",
        "x",
        "--b",
        "Content-Disposition: exe",
        "",
        "y",
      ),
      multipart("deep but not too deep", nested(100).slice(0, 1), ...nested(100).slice(2), "x"),
      multipart("too deep", nested(103).slice(0, 1), ...nested(103).slice(2), "x"),
      multipart(
        "a part without a header",
        [MIXED],
        "--b",
        "no header here",
        "Content-Disposition: exe",
        "--b--",
      ),
    ],
  },
  {
    name: "the classes of header checks",
    settings: {
      header_checks: "regexp:$dir/primary",
      mime_header_checks: "regexp:$dir/mime",
      nested_header_checks: "regexp:$dir/nested",
      body_checks: "regexp:$dir/body",
      body_checks_size_limit: "100",
    },
    files: {
      primary: "/./ WARN primary\n",
      mime: "/./ WARN mime\n",
      nested: "/./ WARN nested\n",
      body: `/^reject/ REJECT body
/^replace/ REPLACE replaced
/^prepend/ PREPEND before
/^drop/ IGNORE
/^strip/ STRIP
/^$/ INFO empty
/^warn/ WARN seen
/^discard/ DISCARD
/^hold/ HOLD
/^filter/ FILTER discard:x
/^redirect/ REDIRECT other@z.test
/^bcc/ BCC copy@z.test
/^pass/ PASS
`,
    },
    cases: [
      simple("a body", [], ["a", "", "replace me", "prepend me", "drop me", "strip me", "z"]),
      simple("a body that is rejected", [], ["a", "reject me"]),
      simple("a body that is passed", [], ["pass", "reject me"]),
      ...["discard", "hold", "filter", "redirect", "bcc"].map((word) => simple(word, [], [word])),
      simple("a line behind the limit", [], ["x".repeat(99), "reject"]),
      simple("a line before the limit", [], ["x".repeat(97), "warn"]),
      simple("a long line", [], [`warn${"x".repeat(3000)}`, "y"]),
      multipart(
        "parts with bodies of their own",
        [MIXED],
        "--b",
        "",
        "x".repeat(200),
        "warn no",
        "--b",
        "Content-Type: text/plain",
        "",
        "warn yes",
        "--b--",
      ),
      multipart(
        "a message in a message",
        ["Content-Type: message/rfc822"],
        "From: c@x.test",
        "MIME-Version: 1.0",
        "Content-Type: text/plain",
        "",
        "warn",
      ),
    ],
  },
  {
    name: "no MIME",
    settings: {
      header_checks: "regexp:$dir/all",
      body_checks: "regexp:$dir/body",
      disable_mime_input_processing: "yes",
      strict_8bitmime: "yes",
    },
    files: { all: "/^Content-Disposition/ REJECT\n", body: "/^Content-Disposition/ WARN body\n" },
    cases: [
      multipart("parts are body", [MIXED], "--b", "Content-Disposition: exe", "", "\xe9", "--b--"),
    ],
  },
  {
    name: "strict rules",
    settings: { strict_8bitmime: "yes", strict_mime_encoding_domain: "yes" },
    cases: [
      simple("plain"),
      simple("8-bit data in a header", ["Subject: \xe9"]),
      simple("8-bit data in a body", [], ["\xe9"]),
      multipart("8-bit data that is announced", ["Content-Transfer-Encoding: 8bit"], "\xe9"),
      multipart("8-bit data in quoted-printable", ["Content-Transfer-Encoding: quoted-printable"], "\xe9"),
      multipart(
        "8-bit data in a part that is 7-bit",
        [MIXED, "Content-Transfer-Encoding: 8bit"],
        "--b",
        "",
        "\xe9",
        "--b--",
      ),
      multipart(
        "8-bit data in a preamble",
        [MIXED, "Content-Transfer-Encoding: 8bit"],
        "\xe9",
        "--b",
        "",
        "x",
        "--b--",
      ),
      multipart(
        "a multipart in base64",
        [MIXED, "Content-Transfer-Encoding: base64"],
        "--b",
        "",
        "x",
        "--b--",
      ),
      multipart(
        "a message in base64",
        ["Content-Type: message/rfc822", "Content-Transfer-Encoding: base64"],
        "x",
      ),
      multipart("an 8-bit part of a message", [
        "Content-Type: message/partial",
        "Content-Transfer-Encoding: 8bit",
      ], "x"),
      multipart(
        "an encoding that there is not",
        [MIXED, "Content-Transfer-Encoding: odd"],
        "--b",
        "",
        "x",
        "--b--",
      ),
      multipart(
        "two things that are wrong",
        [MIXED, "Content-Transfer-Encoding: base64", "Subject: \xe9"],
        "\xe9",
        "--b--",
      ),
    ],
  },
  {
    name: "canonical maps",
    settings: {
      canonical_maps:
        'inline:{ {c@x.test=canon@y.test} {@dom.test=@other.test} {loop1@x.test=loop2@x.test} {loop2@x.test=loop1@x.test} {chain1@x.test=chain2@x.test} {chain2@x.test=chain3@x.test} {self@x.test=self@x.test} {two@x.test=one@y.test, other@y.test} {user=full@y.test} {bare@x.test=short} {q@x.test="q q"@y.test} }',
      sender_canonical_maps: "inline:{ {s@x.test=sender@y.test} {c@x.test=c2@x.test} }",
      recipient_canonical_maps: "inline:{ {r@x.test=rcpt@y.test} {s@x.test=never@y.test} }",
      virtual_alias_maps:
        "inline:{ {rcpt@y.test=virt@z.test} {v@x.test=v1@z.test, v2@z.test} {@vdom.test=@vother.test} }",
    },
    cases: [
      from("a sender", "s@x.test"),
      from("a sender of two tables", "c@x.test"),
      from("a whole domain", "any@dom.test"),
      from("a chain", "chain1@x.test"),
      from("an address that stands for itself", "self@x.test"),
      from("a loop", "loop1@x.test"),
      from("two values", "two@x.test"),
      from("an extension", "c+e@x.test"),
      from("an extension in a whole domain", "any+e@dom.test"),
      from("a local user", "user@mx.test"),
      from("a result without a domain", "bare@x.test"),
      from("a result that needs quotes", "q@x.test"),
      from("our mailer daemon", "MAILER-DAEMON@mx.test"),
      from("another's mailer daemon", "mailer-daemon@x.test"),
      from("nobody", ""),
      to("a recipient", "r@x.test"),
      to("recipients", "r@x.test", "c@x.test", "any@dom.test", "v@x.test", "any+x@vdom.test", "c@x.test"),
      to("a loop among recipients", "loop2@x.test"),
      withHeaders(
        "headers",
        "From: c@x.test",
        "To: c@x.test, r@x.test, x@dom.test",
        "Cc: v@x.test",
        "Reply-To: s@x.test",
        "X-Other: c@x.test",
      ),
      withHeaders("names and comments", "From: Some Body <c@x.test>", 'To: "A, B" <r@x.test>, plain@z.test'),
      withHeaders("nothing to change", "From: z@x.test  (comment)", "To: (c) z@z.test"),
      withHeaders("incomplete addresses", "From: user", "To: someone"),
    ],
  },
  {
    name: "classes and no propagation",
    settings: {
      canonical_maps: "inline:{ {c@x.test=canon@y.test} {@dom.test=@other.test} }",
      canonical_classes: "envelope_sender, header_recipient",
      sender_canonical_maps: "inline:{ {s@x.test=sender@y.test} }",
      sender_canonical_classes: "header_sender",
      recipient_canonical_maps: "inline:{ {r@x.test=rcpt@y.test} }",
      recipient_canonical_classes: "header_recipient",
      propagate_unmatched_extensions: "virtual",
      virtual_alias_maps: "inline:{ {v@x.test=w@x.test} }",
    },
    cases: [
      {
        ...withHeaders("all at once", "From: s@x.test", "To: r@x.test, c@x.test", "Sender: c@x.test"),
        sender: "c@x.test",
        recipients: ["r@x.test", "c@x.test"],
      },
      from("another class", "s@x.test"),
      from("an extension that is lost", "c+e@x.test"),
      from("an extension that is lost in a domain", "a+e@dom.test"),
      to("an extension of a virtual alias", "v+e@x.test"),
    ],
  },
  {
    name: "masquerading",
    settings: {
      masquerade_domains: "!keep.hide.test, hide.test, b.a.test, a.test",
      masquerade_exceptions: "root, Admin",
      masquerade_classes: "envelope_sender, envelope_recipient, header_sender",
    },
    cases: [
      from("a host", "u@host.hide.test"),
      from("the domain itself", "u@hide.test"),
      from("a host that is kept", "u@x.keep.hide.test"),
      from("the first that fits", "u@c.b.a.test"),
      from("a longer name", "u@xhide.test"),
      from("an exception", "ROOT@host.hide.test"),
      from("another exception", "admin@host.hide.test"),
      from("upper case", "u@Host.HIDE.Test"),
      to("recipients", "u@host.hide.test", "root@host.hide.test"),
      withHeaders("headers", "From: u@host.hide.test", "To: u@host.hide.test", "Cc: root@host.hide.test"),
    ],
  },
  {
    name: "copies",
    settings: {
      always_bcc: "all@z.test",
      sender_bcc_maps: "inline:{ {s@x.test=sbcc@z.test} {@sdom.test=short} }",
      recipient_bcc_maps: "inline:{ {r@x.test=rbcc@z.test} {r2@x.test=rbcc@z.test} {@rdom.test=all@z.test} }",
      virtual_alias_maps: "inline:{ {rbcc@z.test=archive@z.test} {v@x.test=r@x.test} }",
    },
    cases: [
      simple("always"),
      from("by sender", "s@x.test"),
      from("by sender's domain", "any@sdom.test"),
      from("by sender with extension", "s+e@x.test"),
      from("no sender", ""),
      to("by recipient", "r@x.test"),
      to("by two recipients", "r@x.test", "r2@x.test"),
      to("not by what an alias gives", "v@x.test"),
      to("by recipient's domain", "a@rdom.test"),
      to("the same recipient twice", "b@x.test", "b@x.test", "B@X.test"),
      {
        ...to("a recipient that asks for reports", "r@x.test"),
        rcpt: " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@x.test",
      },
    ],
  },
  {
    name: "no original recipients",
    settings: {
      enable_original_recipient: "no",
      always_bcc: "b@x.test",
      virtual_alias_maps: "inline:{ {v@x.test=b@x.test} }",
    },
    cases: [to("the same by two ways", "v@x.test", "b@x.test"), to("another", "c@x.test")],
  },
  {
    name: "headers of mail from elsewhere",
    settings: {
      local_header_rewrite_clients: "",
      remote_header_rewrite_domain: "",
      canonical_maps: "inline:{ {c@x.test=canon@y.test} }",
    },
    cases: [
      { ...withHeaders("stay", "From: c@x.test", "To: user"), sender: "c@x.test" },
      { name: "none are made", lines: ["Subject: s", "", "text"] },
    ],
  },
  {
    name: "headers of mail from elsewhere with a domain",
    settings: {
      local_header_rewrite_clients: "",
      remote_header_rewrite_domain: "remote.test",
      canonical_maps: "inline:{ {c@x.test=canon@y.test} }",
    },
    cases: [
      { ...withHeaders("are completed", "From: c@x.test", "To: user, other@host"), sender: "c@x.test" },
      { name: "none are made here either", lines: ["Subject: s", "", "text"] },
    ],
  },
  {
    name: "plain",
    settings: {},
    cases: [
      { name: "missing headers", lines: ["Subject: s", "", "text"] },
      {
        name: "missing headers of a resent message",
        lines: ["Resent-To: b@y.test", "From: a@x.test", "", "text"],
      },
      {
        name: "headers that are dropped",
        lines: [...HEADERS, "Bcc: c@x.test", "Return-Path: <x@x.test>", "Content-Length: 5", "", "text"],
      },
      { name: "no header at all", lines: ["just text", "more"] },
      { name: "a name with blanks before the colon", lines: [...HEADERS, "Subject \t: s", "", "text"] },
      { name: "an encoding", lines: [...HEADERS, "Content-Transfer-Encoding: 8bit", "", "\xe9"] },
      {
        name: "forty-nine hops",
        lines: [...Array.from({ length: 48 }, () => "Received: from x"), ...HEADERS, "", "x"],
      },
      {
        name: "too many hops",
        lines: [...Array.from({ length: 49 }, () => "Received: from x"), ...HEADERS, "", "x"],
      },
      {
        name: "hops in disguise",
        lines: [...Array.from({ length: 49 }, () => "rEceived : from x"), ...HEADERS, "", "x"],
      },
      {
        name: "Return-Receipt-To and others",
        lines: [
          ...HEADERS,
          "Return-Receipt-To: user",
          "Errors-To: user",
          "Disposition-Notification-To: user",
          "Mail-Followup-To: user",
          "Apparently-To: user",
          "",
          "x",
        ],
      },
    ],
  },
];
