import assert from "node:assert/strict";
import { LOCALPART_LIMIT, parsePathArgument, PATH_LIMIT } from "../../../lib/mail/path.ts";
import { PARAMETER_LIMIT, type PathResult } from "../../../lib/mail/path.ts";
import { encodeXtext } from "../../../lib/mail/xtext.ts";
import { encodeText } from "../../../lib/vstring/byte_builder.ts";

const LENIENT = { strict: false, utf8: true };
const STRICT = { strict: true, utf8: true };

function parse(text: string, options = LENIENT): PathResult {
  return parsePathArgument(encodeText(text), "to", options);
}

/** The address, or the part that is bad. */
function outcome(text: string, options = LENIENT): string {
  const result = parse(text, options);
  return result.kind === "path" ? result.address : `(${result.what})`;
}

/** Path, what lenient and what strict reading make of it. */
const PATHS: readonly (readonly [path: string, lenient: string, strict: string])[] = [
  ["TO:<a@b.test>", "a@b.test", "a@b.test"],
  ["to:<a@b.test>", "a@b.test", "a@b.test"],
  ["TO: <a@b.test>", "a@b.test", "(path)"],
  ["TO:a@b.test", "a@b.test", "(path)"],
  ["TO:<>", "", ""],
  ["TO:", "(path)", "(path)"],
  ["TO", "(command)", "(command)"],
  ["FROM:<a@b.test>", "(command)", "(command)"],
  ["TO <a@b.test>", "(command)", "(command)"],
  ["TO:<a@b.test", "(path)", "(path)"],
  ["TO:a@b.test>", "(path)", "(path)"],
  ["TO:<postmaster>", "postmaster", "postmaster"],
  ["TO:<PostMaster>", "PostMaster", "PostMaster"],
  ["TO:<alice>", "alice", "(path)"],
  ['TO:<"alice"@b.test>', "alice@b.test", "alice@b.test"],
  ['TO:<"a b\\"c\\\\d"@b.test>', 'a b"c\\d@b.test', 'a b"c\\d@b.test'],
  ['TO:<"a@c"@b.test>', "a@c@b.test", "a@c@b.test"],
  ['TO:<"a@c">', "(path)", "(path)"],
  ['TO:<""@b.test>', "(path)", "(path)"],
  ['TO:<al"ic"e@b.test>', "(path)", "(path)"],
  ['TO:<"a".b@b.test>', "(path)", "(path)"],
  ['TO:<"a\\"@b.test>', "(path)", "(path)"],
  ['TO:<"a\x1b[2J"@b.test>', "(path)", "(path)"],
  ['TO:<"a\\\x01"@b.test>', "(path)", "(path)"],
  ["TO:<a..b@b.test>", "a..b@b.test", "(path)"],
  ["TO:<a.@b.test>", "a.@b.test", "(path)"],
  ["TO:<.a@b.test>", ".a@b.test", "(path)"],
  ["TO:<..@b.test>", "(path)", "(path)"],
  ["TO:<..>", "(path)", "(path)"],
  ["TO:<@>", "(path)", "(path)"],
  ["TO:<@@>", "(path)", "(path)"],
  ["TO:<a@>", "(path)", "(path)"],
  ["TO:<@a>", "(path)", "(path)"],
  ["TO:<!>", "(path)", "(path)"],
  ["TO:<%>", "(path)", "(path)"],
  ["TO:<a!>", "(path)", "(path)"],
  ["TO:<a%>", "(path)", "(path)"],
  ["TO:<.!>", "(path)", "(path)"],
  ["TO:<victim%evil.test>", "victim%evil.test", "(path)"],
  ["TO:<mx.test!victim%evil.test>", "mx.test!victim%evil.test", "(path)"],
  ["TO:<victim%evil.test@mx.test>", "victim%evil.test@mx.test", "victim%evil.test@mx.test"],
  ["TO:<a@b.test@c.test>", "(path)", "(path)"],
  ["TO:<a(comment)@b.test>", "(path)", "(path)"],
  ["TO:<victim@evil.test(@mx.test)>", "(path)", "(path)"],
  ["TO:<evil.test!collab\\@b.test>", "(path)", "(path)"],
  ["TO:<=?utf-8?q?bob=40evil.test=3e=20?=@b.test>", "=?utf-8?q?bob=40evil.test=3e=20?=@b.test", ""],
  ["TO:<a@b.test>garbage", "(path)", "(path)"],
  ["TO:<<a@b.test>>", "(path)", "(path)"],
  ["TO:<a@b.test,c@b.test>", "(path)", "(path)"],
  ["TO:<grp: a@b.test, c@b.test;>", "(path)", "(path)"],
  ["TO:<a b@b.test>", "(path)", "(path)"],
  ["TO:<a@b.test.>", "a@b.test", "(path)"],
  ["TO:<a@b.test..>", "(path)", "(path)"],
  ["TO:<a@a..b.test>", "(path)", "(path)"],
  ["TO:<a@-a.test>", "(path)", "(path)"],
  ["TO:<a@a-.test>", "(path)", "(path)"],
  ["TO:<a@.a.test>", "(path)", "(path)"],
  ["TO:<a@a b>", "(path)", "(path)"],
  ["TO:<a@a_b.test>", "a@a_b.test", "(path)"],
  ["TO:<a@1.2.3>", "(path)", "(path)"],
  ["TO:<a@0x7f.1>", "(path)", "(path)"],
  ["TO:<a@xn--0049.com>", "a@xn--0049.com", "a@xn--0049.com"],
  ["TO:<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]"],
  ["TO:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"],
  ["TO:<a@[127.0.0.1.evil]>", "(path)", "(path)"],
  ["TO:<a@[0x7f.1]>", "(path)", "(path)"],
  ["TO:<a@[2130706433]>", "(path)", "(path)"],
  ["TO:<a@[127.1]>", "(path)", "(path)"],
  ["TO:<a@[IPv6:::1%lo]>", "(path)", "(path)"],
  ["TO:<a@[IPv6:1::2::3]>", "(path)", "(path)"],
  ["TO:<a@[::1]>", "(path)", "(path)"],
  ["TO:<a@[]>", "(path)", "(path)"],
  ["TO:<a@[[1.2.3.4]]>", "(path)", "(path)"],
  ["TO:<a@[1.2.3.4>", "(path)", "(path)"],
  ["TO:<@evil.test:a@b.test>", "a@b.test", "a@b.test"],
  ["TO:<@x.test,@[192.0.2.1]:a@b.test>", "a@b.test", "a@b.test"],
  ["TO:<@x.test:>", "(path)", "(path)"],
  ["TO:<@x.test,a@b.test>", "(path)", "(path)"],
  ["TO:<@x.test,:a@b.test>", "(path)", "(path)"],
  ["TO:@x.test:a@b.test", "(path)", "(path)"],
  ["TO:</etc/passwd@b.test>", "/etc/passwd@b.test", "/etc/passwd@b.test"],
  ["TO:<a\0b@b.test>", "(path)", "(path)"],
  ["TO:<a\r\nb@b.test>", "(path)", "(path)"],
  ["TO:<a@b.test\0>", "(path)", "(path)"],
];

Deno.test("RFC 5321 section 4.1.2: paths are read by the grammar, with Postfix's leniency or without", () => {
  for (const [path, lenient, strict] of PATHS) {
    assert.equal(outcome(path), lenient, `lenient: ${JSON.stringify(path)}`);
    if (strict !== "") assert.equal(outcome(path, STRICT), strict, `strict: ${JSON.stringify(path)}`);
  }
});

Deno.test("RFC 5321 section 4.1.1.2: MAIL has FROM:, in any case, then the reverse-path and parameters", () => {
  const mail = (text: string) => parsePathArgument(encodeText(text), "from", STRICT);
  for (const word of ["FROM:", "from:", "FrOm:"]) {
    const parsed = mail(`${word}<a@b.test> SIZE=5`);
    assert.ok(parsed.kind === "path", word);
    assert.equal(parsed.address, "a@b.test");
    assert.deepEqual(parsed.parameters, [{ keyword: "SIZE", value: "5" }]);
  }
  for (const text of ["TO:<a@b.test>", "<a@b.test>", "FROM<a@b.test>", "FROM :<a@b.test>", "FRO", ""]) {
    const parsed = mail(text);
    assert.deepEqual([parsed.kind, parsed.kind === "bad" && parsed.what], ["bad", "command"], text);
  }
});

Deno.test("RFC 5321 section 4.5.5: the null path is the empty address", () => {
  assert.deepEqual(parse("TO:<>"), { kind: "path", address: "", utf8: false, parameters: [] });
  assert.equal(outcome("TO:< >"), "(path)");
});

Deno.test("RFC 5321 section 4.1.1.3: postmaster needs no domain", () => {
  assert.equal(outcome("TO:<postMASTER>", STRICT), "postMASTER");
  assert.equal(outcome("TO:<postmaster2>", STRICT), "(path)");
});

Deno.test("RFC 6531 section 3.3: an address outside ASCII needs SMTPUTF8", () => {
  const parsed = parse("TO:<josé@bücher.test>");
  assert.ok(parsed.kind === "path" && parsed.utf8);
  assert.equal(parsed.address, "josé@bücher.test");
  const ascii = { strict: false, utf8: false };
  assert.equal(outcome("TO:<bob\u0140evil.test@b.test>", ascii), "(utf8)");
  assert.equal(outcome("TO:<bob\u0140evil.test@b.test>"), "bob\u0140evil.test@b.test");
  const bytes = new Uint8Array([...encodeText("TO:<a"), 0xc0, 0x8d, ...encodeText("@b.test>")]);
  assert.equal(parsePathArgument(bytes, "to", LENIENT).kind, "bad");
});

Deno.test("a domain in UTF-8 has one form: other dots, capitals and full-width letters are refused", () => {
  for (
    const domain of ["local\u3002test", "local\uff0etest", "\uff4cocal.test", "BÜCHER.test", "a\u200bb.test"]
  ) {
    assert.equal(outcome(`TO:<a@${domain}>`), "(path)", domain);
  }
});

Deno.test("addresses that hold control or direction characters are refused", () => {
  for (const unit of ["\u0085", "\u202e", "\u2028", "\ufeff"]) {
    assert.equal(outcome(`TO:<é${unit}@b.test>`), "(path)");
  }
});

Deno.test("the low byte of a character never becomes a line end", () => {
  const parsed = parse("TO:<a\u010d\u010aRCPT@b.test>");
  assert.ok(parsed.kind === "path");
  assert.deepEqual([...encodeText(parsed.address)].filter((byte) => byte === 10 || byte === 13), []);
});

Deno.test("local parts, domains and paths have limits", () => {
  const local = (length: number) => outcome(`TO:<${"a".repeat(length)}@b.test>`) !== "(path)";
  assert.equal(local(LOCALPART_LIMIT), true);
  assert.equal(local(LOCALPART_LIMIT + 1), false);
  const label = (length: number) => outcome(`TO:<a@${"b".repeat(length)}.test>`) !== "(path)";
  assert.equal(label(63), true);
  assert.equal(label(64), false);
  const domain = (length: number) => {
    const name = `${"b".repeat(60)}.`.repeat(5).slice(0, length - 1) + "c";
    return outcome(`TO:<a@${name}>`) !== "(path)";
  };
  assert.equal(domain(255), true);
  assert.equal(domain(256), false);
  const route = (length: number) => {
    const path = `:a@b.test`;
    const name = `@${"x".repeat(9)}.test,`.repeat(200);
    const head = name.slice(0, length - path.length - 7).replace(/,[^,]*$/, "");
    return outcome(`TO:<${head},@x${"y".repeat(length - path.length - head.length - 3)}${path}>`);
  };
  assert.equal(route(PATH_LIMIT), "a@b.test");
  assert.equal(route(PATH_LIMIT + 1), "(path)");
});

Deno.test("parameters come as keyword and value", () => {
  const parsed = parse("TO:<a@b.test>  notify=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@b.test x-flag ");
  assert.ok(parsed.kind === "path");
  assert.deepEqual(parsed.parameters, [
    { keyword: "NOTIFY", value: "SUCCESS,DELAY" },
    { keyword: "ORCPT", value: "rfc822;a+2Bb@b.test" },
    { keyword: "X-FLAG", value: undefined },
  ]);
  for (
    const wrong of ["=1", "A=", "A=\x01", "-A=1", "A_B=1", "SIZE=1 SIZE=2", "SIZE=1 size=1", "A\0", "A=\x7f"]
  ) {
    assert.equal(outcome(`TO:<a@b.test> ${wrong}`), "(parameter)", wrong);
  }
});

Deno.test("RFC 3461 section 4.1: a parameter stands at most once", () => {
  assert.equal(outcome("TO:<a@b.test> NOTIFY=NEVER NOTIFY=SUCCESS"), "(parameter)");
});

Deno.test("a command has at most so many parameters", () => {
  const line = (count: number) =>
    "TO:<a@b.test>" + Array.from({ length: count }, (_, i) => ` P${i}=1`).join("");
  assert.equal(outcome(line(PARAMETER_LIMIT)), "a@b.test");
  assert.equal(outcome(line(PARAMETER_LIMIT + 1)), "(parameter)");
});

Deno.test("a path that is cut anywhere is refused or is a valid path of its own", () => {
  const whole = encodeText('TO:<@r.test,@s.test:"a\\"b"@[IPv6:2001:db8::1]> NOTIFY=NEVER ORCPT=rfc822;x');
  const pathEnd = whole.indexOf(0x3e, 0) + 1;
  for (let length = 0; length < whole.length; length++) {
    const result = parsePathArgument(whole.subarray(0, length), "to", LENIENT);
    if (length < pathEnd) assert.equal(result.kind, "bad", `cut at ${length}`);
    else if (result.kind === "path") assert.equal(result.address, 'a"b@[IPv6:2001:db8::1]');
  }
});

Deno.test("deeply nested nonsense is refused", () => {
  for (const unit of ["(", "<", '"', "@a,", "\\", "[", "a.", "!%"]) {
    assert.equal(outcome(`TO:<${unit.repeat(100_000)}@b.test>`), "(path)", unit);
  }
});

Deno.test("random bytes give a result, and no address with NUL, CR or LF", () => {
  let state = 12345;
  const random = (most: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % most;
  const alphabet = encodeText('ab.@<>"\\:,[]!% \r\n\0\x7f=+1é');
  let paths = 0;
  for (let round = 0; round < 20000; round++) {
    const tail = Uint8Array.from({ length: random(14) }, () => alphabet[random(alphabet.length)]!);
    const result = parsePathArgument(new Uint8Array([...encodeText("TO:"), ...tail]), "to", LENIENT);
    if (result.kind !== "path") continue;
    paths++;
    assert.ok(!/[\0\r\n]/.test(result.address));
    assert.ok(result.address === "" || result.address.lastIndexOf("@") !== 0);
  }
  assert.ok(paths > 20);
});

Deno.test("RFC 3461 section 4: xtext carries any text as printable ASCII without + and =", () => {
  const table = [["a+b=c", "a+2Bb+3Dc"], ["a b", "a+20b"], ["é", "+C3+A9"], ["", ""], ["~!", "~!"]] as const;
  for (const [text, value] of table) assert.equal(encodeXtext(text), value);
});
