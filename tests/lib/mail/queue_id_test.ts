import assert from "node:assert/strict";
import {
  hashedDirectory,
  inodeOf,
  makeQueueId,
  type QueueId,
  toQueueId,
} from "../../../lib/mail/queue_id.ts";
import { Random } from "../../support/random.ts";

const ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/** Digits of a number in a base, by the rule as postfix-map section 2.2 words it. */
function digits(value: bigint, base: bigint, least: number): string {
  let out = "";
  for (let rest = value; rest > 0n; rest /= base) out = ALPHABET[Number(rest % base)] + out;
  return out.padStart(least, "0");
}

function long(seconds: number, microseconds: number, inode: number): string {
  return `${digits(BigInt(seconds), 52n, 6)}${digits(BigInt(microseconds), 52n, 4)}z${
    digits(BigInt(inode), 51n, 1)
  }`;
}

const SHORT: readonly [number, number, string][] = [
  [1_700_000_000_000_000, 0x1a2b3c, "000001A2B3C"],
  [1_700_000_000_000_001, 1, "000011"],
  [1_700_000_000_999_999, 0xabcdef, "F423FABCDEF"],
  [1_700_000_000_065_536, 0xffffffff, "10000FFFFFFFF"],
];

for (const [time, inode, id] of SHORT) {
  Deno.test(`short id ${id}: five hexadecimal digits of microseconds, then the inode`, () => {
    assert.equal(makeQueueId(time, inode, false), id);
    assert.equal(inodeOf(id as QueueId), inode);
  });
}

const LONG: readonly [number, number, number, string][] = [
  [0, 0, 1, "0000000000z1"],
  [51, 51, 50, "00000z000zzy"],
  [52, 52, 51, "0000100010z10"],
  [1_700_000_000, 999_999, 123_456, long(1_700_000_000, 999_999, 123_456)],
];

for (const [seconds, microseconds, inode, id] of LONG) {
  Deno.test(`long id ${id}: seconds and microseconds in base 52, z, the inode in base 51`, () => {
    assert.equal(makeQueueId(seconds * 1_000_000 + microseconds, inode, true), id);
    assert.equal(id, long(seconds, microseconds, inode));
    assert.equal(inodeOf(id as QueueId), inode);
  });
}

Deno.test("ids of random times and inodes hold their inode, in both kinds, and are ids", () => {
  const random = new Random(9);
  for (let round = 0; round < 3000; round++) {
    const seconds = 1_500_000_000 + random.below(1_000_000_000);
    const microseconds = random.below(1_000_000);
    const inode = 1 + random.below(random.pick([10, 1000, 2 ** 32, 2 ** 50]));
    const time = seconds * 1_000_000 + microseconds;
    for (const isLong of [true, false]) {
      const id = makeQueueId(time, inode, isLong);
      assert.equal(inodeOf(id), inode, id);
      assert.equal(toQueueId(id), id);
      assert.equal(
        hashedDirectory(id, 5).split("/").join(""),
        microseconds.toString(16).toUpperCase().padStart(5, "0"),
      );
    }
    assert.equal(makeQueueId(time, inode, true), long(seconds, microseconds, inode));
  }
});

Deno.test("ids sort by time when they are long", () => {
  const random = new Random(10);
  for (let round = 0; round < 500; round++) {
    const time = (1_600_000_000 + random.below(500_000_000)) * 1_000_000 + random.below(1_000_000);
    const before = makeQueueId(time, random.below(2 ** 40), true).slice(0, 10);
    assert.ok(before < makeQueueId(time + 1, 1, true).slice(0, 10));
  }
});

const VALUES: readonly [string, boolean][] = [
  ["4F2A1", true],
  ["a_b_9", true],
  ["A", true],
  ["A".repeat(255), true],
  ["A".repeat(256), false],
  ["", false],
  [".", false],
  ["..", false],
  ["../etc/passwd", false],
  ["4F2A/1", false],
  ["4F2A\0", false],
  ["4F2A\n", false],
  ["4F2A ", false],
  ["4F2A.1", false],
  ["-rf", false],
  ["4F2Aé", false],
  ["4F2A\u0130", false],
  ["4F2A\udc80", false],
];

Deno.test("a queue id is letters, digits and underscores, at most 255 of them: safe as a file name", () => {
  for (const [value, good] of VALUES) {
    assert.equal(toQueueId(value), good ? value : undefined, JSON.stringify(value));
  }
  for (let unit = 0; unit < 0x180; unit++) {
    const one = String.fromCharCode(unit);
    const good = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_".includes(one);
    assert.equal(toQueueId(one) !== undefined, good, `unit ${unit}`);
  }
});

const INODES: readonly [string, number | undefined][] = [
  ["12345", undefined], // no inode behind the microseconds
  ["1234", undefined],
  ["12345G", undefined],
  ["12345abc", undefined], // lower case is no short id
  ["12345FFFFFFFFFFFFFF", undefined], // more digits than an inode has
  ["0000000000z", undefined],
  ["0000000000zA", undefined], // vowels are not in the alphabet
  ["000000000z0", undefined], // the separator stands too early
  ["12345_", undefined],
];

Deno.test("an id that holds no inode says so", () => {
  for (const [id, inode] of INODES) assert.equal(inodeOf(id as QueueId), inode, id);
});

Deno.test("hash directories: leading characters, padded where the id is too short", () => {
  const cases: readonly [string, number, string][] = [
    ["4F2A1B", 0, ""],
    ["4F2A1B", 1, "4"],
    ["4F2A1B", 2, "4/F"],
    ["AB", 4, "A/B/_/_"],
    [makeQueueId(1_700_000_000_000_000 + 0xabcde, 7, true), 2, "A/B"],
    [makeQueueId(1_700_000_000_000_000 + 0x12, 7, true), 5, "0/0/0/1/2"],
  ];
  for (const [id, depth, path] of cases) assert.equal(hashedDirectory(id as QueueId, depth), path, id);
});
