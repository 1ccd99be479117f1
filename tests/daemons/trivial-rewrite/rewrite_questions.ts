/**
 * Addresses for the comparison with Debian's trivial-rewrite: every form that has a rule, and random ones. Not a test
 * itself.
 *
 * @module
 */
import { quoteAddress } from "../../../lib/mail/address.ts";
import { Random } from "../../support/random.ts";

/** One request. */
export type Question =
  /** Both in internal form. */
  | { readonly kind: "resolve"; readonly sender: string; readonly address: string }
  /** In external form. */
  | { readonly kind: "rewrite"; readonly context: "local" | "remote"; readonly address: string };

const USERS = [
  "a",
  "A",
  "b c",
  "moved",
  "",
  "-",
  "-x",
  "é",
  "a+x",
  "a-x",
  "owner-a",
  "postmaster",
  "a.b",
  "a..b",
  ".a",
  "_",
];
const DOMAINS = [
  ...[
    "mx.test",
    "evil.test",
    "relay.test",
    "Box.test",
    "slow.test",
    "alias.test",
    "nexthop.test",
    "localhost",
  ],
  ...["LOCAL.test", "x.relay.test", "X.Gone.test", "far.test", "same.test", "bare.test", "error.test"],
  ...[
    "mute.test",
    "wait.test",
    "later.test",
    "box.test",
    "sub.test",
    "gone",
    "test",
    "1.2.3.4",
    "127.0.0.2",
    "a_b.test",
  ],
  ...[
    "-x.test",
    "x.test.",
    "é.test",
    "[192.0.2.1]",
    "[192.0.2.2]",
    "[127.0.0.1]",
    "[IPv6:2001:db8::1]",
    "[1.2.3]",
  ],
  ...["[192.0.2.9]", "[mx.test]", "a..test", ".test", "b c.test", "a,b.test", "xn--a-ecp.test"],
];
const OPERATORS = ["@", "@", "@", "@", "!", "%", "%", "."];
const SENDERS = [
  "",
  "s@x.test",
  "t@y.test",
  "n@x.test",
  "n+x@x.test",
  "u@mx.test",
  "d@mx.test",
  "S@X.test",
  "u",
  "@y.test",
];
/** Pieces of addresses in external form, with all that quotes, escapes and routes are made of. */
const PIECES = [
  "a",
  "b",
  "mx.test",
  "evil",
  "@",
  "@",
  "!",
  "%",
  ".",
  '"',
  '"a b"',
  '"a@b"',
  "\\",
  ":",
  ",",
  "[1]",
  " ",
  "(x)",
  "<",
  "é",
];

/** Addresses whose form has a rule of its own. */
const FORMS = [
  ...[
    "",
    "@",
    "a",
    "a@",
    "a@.",
    "a@..",
    "a.",
    "a@mx.test.",
    "a@evil.test.",
    "a@evil.test..",
    "@mx.test",
    "@evil.test",
  ],
  ...[
    "site!user",
    "a!b!user",
    "user%site",
    "user%b%a",
    "site!user%other",
    "a!b@c.test",
    "a%b@c.test",
    "!",
    "a!",
    "%",
    "%a",
  ],
  ...[
    "a%",
    "!a",
    "a@evil.test@mx.test",
    "a%evil.test@mx.test",
    "evil.test!a@mx.test",
    "a%evil.test@[192.0.2.1]",
  ],
  ...[
    "a@evil.test%local.test",
    "a%b%evil.test%mx.test",
    "mx.test!evil.test!a",
    "a@b@relay.test",
    "evil.test!a@box.test",
  ],
];
/** The same in external form: routes and quotes. */
const EXTERNAL = [
  ...[
    "@a,@b:user@c.test",
    "@a:user",
    "@a:",
    "@a",
    '"a@b"',
    '"a!b%c"',
    '"a@b"@c.test',
    '"a b"@c',
    "a\\@b",
    '""',
    '""@c.test',
  ],
  ...[
    '"a"@c',
    '"a"."b"@c',
    'a."b c"@d',
    "a@[1.2.3.4]",
    "a@[x",
    '"a',
    "a@b.",
    '"a@b."',
    "a@b c",
    "a b",
    "a@(x)b",
    "(x)a@b",
  ],
];

/** Random questions and those that every configuration is asked. */
export function makeQuestions(seed: number, count: number): Question[] {
  const random = new Random(seed);
  const sender = () => random.pick(SENDERS);
  const context = () => random.pick(["local", "remote"] as const);
  const plain = DOMAINS.map((domain) => `${random.pick(USERS)}@${domain}`);
  const mixed = Array.from({ length: count }, () => {
    const steps = Array.from({ length: random.below(4) }, () => {
      const word = random.pick(random.below(2) === 0 ? USERS : DOMAINS);
      return word + random.pick(OPERATORS);
    });
    return steps.join("") + random.pick(random.below(3) === 0 ? USERS : DOMAINS);
  });
  const pieces = Array.from(
    { length: count },
    () => Array.from({ length: 1 + random.below(6) }, () => random.pick(PIECES)).join(""),
  ).filter((text) => text.trim() !== ""); // Debian's trivial-rewrite dies of an address of blanks
  return [
    ...[...FORMS, ...plain, ...mixed].map((address) => ({
      kind: "resolve" as const,
      sender: sender(),
      address,
    })),
    ...[...FORMS, ...mixed].map((address) => ({
      kind: "rewrite" as const,
      context: context(),
      address: quoteAddress(address),
    })),
    ...[...EXTERNAL, ...pieces].map((address) => ({ kind: "rewrite" as const, context: context(), address })),
  ];
}
