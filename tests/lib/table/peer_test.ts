/**
 * Our tables beside those of Debian's Postfix, on the same files and keys.
 */
import assert from "node:assert/strict";
import { openAliasTable, openTable } from "../../../lib/table/open.ts";
import { peerMissing, queryPeer, runPeer } from "./postmap_peer.ts";
import { seeded } from "./table_support.ts";

const ignore = peerMissing();
const quiet = { warn: () => {} };

function inDirectory(work: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync();
  try {
    work(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Asks both for each key. Keys that a line of postmap's input cannot carry must be left out. */
function compare(directory: string, spec: string, keys: readonly string[], alias = false): number {
  const peer = queryPeer(alias ? "postalias" : "postmap", directory, spec, keys);
  const open = alias ? openAliasTable : openTable;
  const table = open(alias ? spec.replace("hash:", "texthash:") : spec, quiet);
  let found = 0;
  for (const key of keys) {
    const ours = table.lookup(key) as { kind: string; value?: string };
    assert.equal(
      ours.kind === "found" ? ours.value : undefined,
      peer.get(key),
      `${spec} key ${JSON.stringify(key)}`,
    );
    if (ours.kind === "found") found++;
  }
  return found;
}

const MAP = [
  "  leading blank line",
  "A@B.c  One two  ",
  "  cont1",
  "# comment",
  "  cont2",
  "novalue",
  '"quo ted"@x  v1',
  "\\ esc v2",
  "key: val",
  "a@b.c dup",
  '"unb v',
  'q"x y"z\tvq',
  "\tx",
  "#c",
  "",
  " ",
  "last v\\",
  "vt\vval z",
  "kk v\r",
  "k2\\ v",
  "k3\\",
  'empty ""',
  "é@ö.example wert",
  "MIXED CasE",
].join("\n");

Deno.test({
  name: "texthash gives what Debian's texthash gives",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      Deno.writeTextFileSync(`${directory}/map`, MAP);
      const keys = [
        ...'A@B.c|a@b.c|A@B.C|novalue|"quo ted"@x|quo ted@x|\\ esc|esc|key:|key|"unb|q"x y"z|last|vt|kk'
          .split("|"),
        ..."k2\\|k2\\ v|k3\\|empty|é@ö.example|mixed|MIXED|nothing|leading|cont1".split("|"),
      ];
      assert.equal(compare(directory, `texthash:${directory}/map`, keys), 14);
    }),
});

Deno.test({
  name: "texthash of seeded random bytes holds what Debian's texthash holds",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const random = seeded(7);
      const alphabet = [
        '"',
        "\\",
        " ",
        "\t",
        "\n",
        "\n ",
        "\n#",
        "a",
        "B",
        "c@d",
        ":",
        ",",
        "\r",
        "\f",
        "é",
        "x",
      ];
      for (let round = 0; round < 40; round++) {
        const text = Array.from({ length: 400 }, () => alphabet[random(alphabet.length)]).join("");
        Deno.writeTextFileSync(`${directory}/map`, text);
        const dump = runPeer("postmap", directory, ["-s", `texthash:${directory}/map`]).out;
        const peer = dump.split("\n").filter((line) => line !== "").sort();
        const table = openTable(`texthash:${directory}/map`, quiet);
        const ours = Array.from(table.entries!(), ([key, value]) => `${key}\t${value}`).sort();
        assert.deepEqual(ours, peer, JSON.stringify(text));
      }
    }),
});

const ALIASES = [
  "# comment",
  'root: joe, "|/bin/cmd arg", /file/x,',
  "   :include:/x/y (comment) , a@b",
  "Joe.User: x",
  '"quoted name": y',
  '"needless": y2',
  "a b: z",
  "a@b: no",
  "nocolon",
  "empty:",
  ": noname",
  "comm (c) : v",
  'list: A <a@b>, "Q S"@x ,,d',
  "x,y: w",
  "sp   :   v  w  x",
  "esc\\ aped: v",
  "dup: one",
  "DUP: two",
  'q: "a\\"b" "c\\\\d"',
  "perc%x: v",
  "grp: foo:bar;",
  "dl: [1.2.3.4], a@[1.2]",
  "trail: a,b,",
  "under_score: v;w",
  "pipe: |/bin/cat",
  "pct: a%b!c",
  "bs: a\\,b c\\@d e\\f",
  "com: a (x (y) z) b (un\\)closed) c",
  "unclosed: a (b",
  'unq: "a b',
  "brack: [a b",
].join("\n");

Deno.test({
  name: "alias files give what Debian's postalias makes of them",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      Deno.writeTextFileSync(`${directory}/aliases`, ALIASES);
      runPeer("postalias", directory, [`hash:${directory}/aliases`]);
      const keys = [
        ...'root|joe.user|Joe.User|quoted name|"quoted name"|needless|a b|a@b|nocolon|empty|comm (c)|comm'
          .split("|"),
        ..."list|x,y|x|sp|esc aped|dup|DUP|q|perc%x|grp|dl|trail|under_score|pipe|pct|bs|com|unclosed|unq"
          .split("|"),
        "brack",
      ];
      assert.equal(compare(directory, `hash:${directory}/aliases`, keys, true), 24);
    }),
});

Deno.test({
  name: "alias files of seeded random text hold what Debian's postalias makes of them",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const random = seeded(11);
      const alphabet = [
        '"',
        "\\",
        " ",
        "\t",
        "\n",
        "\n ",
        "a",
        "B",
        "c.d",
        ":",
        ",",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        ";",
        "|",
        "%",
        "!",
      ];
      for (let round = 0; round < 40; round++) {
        // Each line begins with a fair name, so that many entries come out of it.
        const lines = Array.from({ length: 40 }, (_, i) => {
          return `n${i}: x${Array.from({ length: 12 }, () => alphabet[random(alphabet.length)]).join("")}`;
        });
        const text = lines.join("\n") + "\n";
        Deno.writeTextFileSync(`${directory}/aliases`, text);
        runPeer("postalias", directory, [`hash:${directory}/aliases`]);
        const dump = runPeer("postalias", directory, ["-s", `hash:${directory}/aliases`]).out;
        const peer = dump.split("\n").filter((line) =>
          line !== "" && !line.startsWith("YP_") && !line.startsWith("@:")
        );
        const table = openAliasTable(`texthash:${directory}/aliases`, quiet);
        const ours = Array.from(table.entries!(), ([key, value]) => `${key}:\t${value}`);
        assert.deepEqual(ours.sort(), peer.sort(), JSON.stringify(text));
      }
    }),
});

Deno.test({
  name: "cidr gives what Debian's cidr gives",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const rules = [
        "1.2.3.4 one",
        "1.2.3.0/24 net  with  spaces",
        "[2001:db8::]/32 v6",
        "[2001:db9::/32] v6b",
        "2001:dba::/32 v6c",
        "[1.2.3.5] never",
        "if 11.0.0.0/8",
        "11.1.0.0/16 inner",
        "! 11.2.0.0/15 not two or three",
        "endif",
        "if !12.0.0.0/8",
        "172.16.0.0/12 private",
        "endif",
        "!10.0.0.0/8 not ten",
        "0.0.0.0/0 all",
      ];
      Deno.writeTextFileSync(`${directory}/cidr`, rules.join("\n"));
      const keys = [
        ..."1.2.3.4 1.2.3.9 1.2.3.5 11.1.2.3 11.2.9.9 11.4.0.1 10.1.1.1 12.1.1.1 172.20.0.1 2001:db8::1"
          .split(" "),
        ..."2001:db9::1 2001:DBA::9 2001:dbb::1 ::1 foo 1.2.3 1.2.3.4.5 255.255.255.255 0.0.0.0 01.2.3.4"
          .split(" "),
      ];
      assert.equal(compare(directory, `cidr:${directory}/cidr`, keys), 14);
    }),
});

Deno.test({
  name: "cidr with seeded random networks gives what Debian's cidr gives",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const random = seeded(5);
      const octet = () => [10, 10, 192, random(256)][random(4)];
      const address = () => `${octet()}.${octet()}.${octet()}.${octet()}`;
      const keys = Array.from({ length: 300 }, address);
      const rules = Array.from({ length: 200 }, (_, i) => {
        const bits = 4 + random(29);
        const words = address().split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
        const masked = words - words % 2 ** (32 - bits);
        const text = [24, 16, 8, 0].map((shift) => Math.floor(masked / 2 ** shift) % 256).join(".");
        return `${i % 40 === 39 ? "!" : ""}${text}/${bits} rule ${i}`;
      });
      Deno.writeTextFileSync(`${directory}/cidr`, rules.join("\n"));
      assert.ok(compare(directory, `cidr:${directory}/cidr`, keys) > 100);
    }),
});

const REGEXP_RULES = [
  "/^a(b)(c)?$/ x$1-y${2}z$(1)$$",
  "/(a|b){2}/ rep",
  "/foo/i case sensitive",
  "/BAR$/ bar",
  "/^x\\(1\\)\\{2\\}$/x bre $1",
  "/multi$/m mm",
  "if /^if/",
  "/then(.)/ then-$1",
  "if !/foo/",
  "/inner/ inner",
  "endif",
  "endif",
  "|path/([^/]*)/| p$1",
  "/^[]x[:digit:].-]+$/ set",
  "/^(.*)-(.*)-([^@]*)@(.*)$/ $1|$2|$3|$4",
  "/\\.(com|net)$/ tld $1",
  "/w\\.x\\$y\\^z/ escapes",
  "/^q{2,3}w{,2}z{1,}$/ counts",
  "/^(l(m(n)o)p)?rest$/ <$1><$2><$3>",
  "/^[A-Zk]8$/i upper",
  "/[^ -~]/ eight bit",
  "/^\\w+\\W\\w+$/ word",
  "!/e/ no e",
];

const REGEXP_KEYS = [
  "ab",
  "abc",
  "AB",
  "abab",
  "ba",
  "FOO",
  "foo",
  "bar",
  "BAR",
  "barx",
  "x11",
  "x1",
  "multi",
  "ifthenx",
  "ifTHENy",
  "iffoo inner",
  "ifinner",
  "/path/z/k",
  "path//",
  "]x1.-",
  "[x]",
  "a-b-c@d",
  "one-two-three-four@e.f",
  "e.com",
  "e.NET",
  "ew.x$y^z",
  "eqqwz",
  "qqz",
  "qqqwwzz",
  "qqqqz",
  "rest",
  "lmnoprest",
  "K8",
  "k8",
  "e8",
  "e",
  "é",
  "x y",
  "ee ff",
  "zzz",
  "E",
  "e$",
];

Deno.test({
  name: "regexp gives what Debian's regexp gives",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      Deno.writeTextFileSync(`${directory}/regexp`, REGEXP_RULES.join("\n"));
      assert.ok(compare(directory, `regexp:${directory}/regexp`, REGEXP_KEYS) > 30);
    }),
});

Deno.test({
  name: "seeded random patterns match as Debian's regexp matches, or are refused",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const random = seeded(3);
      const pieces = [
        "a",
        "b",
        "[ab]",
        "[^a]",
        ".",
        "(a)",
        "(a|b)",
        "a*",
        "b+",
        "a?",
        "(ab){1,2}",
        "^",
        "$",
        "\\.",
        "|",
        "(b|)",
        "A",
      ];
      const keys = Array.from({ length: 60 }, () => {
        return Array.from({ length: 1 + random(6) }, () => "abAB."[random(5)]).join("");
      });
      let compared = 0;
      for (let round = 0; round < 40; round++) {
        const rules = Array.from({ length: 10 }, (_, i) => {
          const pattern = Array.from({ length: 1 + random(5) }, () => pieces[random(pieces.length)]).join("");
          return `/${pattern}/${random(3) === 0 ? "i" : ""} ${i}`;
        }).filter((rule) => {
          try {
            openTable(`regexp:{ {${rule.replaceAll("{1,2}", "")}} }`, quiet);
            return true;
          } catch {
            return false;
          }
        });
        Deno.writeTextFileSync(`${directory}/regexp`, rules.join("\n"));
        compared += compare(directory, `regexp:${directory}/regexp`, keys);
      }
      assert.ok(compared > 500);
    }),
});

Deno.test({
  name: "tables in the configuration give what Debian's give",
  ignore,
  fn: () =>
    inDirectory((directory) => {
      const cases: [spec: string, keys: string[], found: number][] = [
        ["inline:{a=b, c=d}", ["a", "c", "A", "x"], 3],
        ["inline:{ {a = x y}, { c = d, e } }", ["a", "c", "e"], 2],
        ["inline:{a=b,a=c}", ["a"], 1],
        ["static:foo", ["x", "y z"], 2],
        ["static:{ foo bar }", ["x"], 1],
        ["unix:passwd.byname", ["root", "ROOT", "nosuchuser"], 2],
        ["unix:group.byname", ["root", "nosuchgroup"], 1],
        ["cidr:{ {1.2.3.0/24 ok}, {!9.0.0.0/8 no} }", ["1.2.3.4", "9.1.1.1", "8.1.1.1", "x"], 2],
        ["regexp:{ {/^x(.)/ y$1}, {!/z/ no z} }", ["xa", "z", "q"], 2],
        ["randmap:{only}", ["x"], 1],
      ];
      for (const [spec, keys, found] of cases) assert.equal(compare(directory, spec, keys), found, spec);
    }),
});
