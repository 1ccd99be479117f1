/** Targets that are functions of bytes: the readers of everything that strangers and other processes send. @module */
import assert from "node:assert/strict";
import { CodecError, decodeFields, encodeFields } from "../../lib/ipc/codec.ts";
import { FrameReader } from "../../lib/ipc/frame.ts";
import type { Field, Fields } from "../../lib/ipc/protocol.ts";
import { quoteAddress, unquoteAddress } from "../../lib/mail/address.ts";
import { headerNameLength, readHeaderField, unfoldText } from "../../lib/mail/header.ts";
import { findHeaderAddresses, replaceInHeader } from "../../lib/mail/header_address.ts";
import { MIME_FAULTS, type MimeFault, MimeReader } from "../../lib/mail/mime_structure.ts";
import { parsePathArgument } from "../../lib/mail/path.ts";
import { EnvelopeReader } from "../../lib/mail/queue_file.ts";
import { appendRecord, BadRecordError, RECORD, RecordCursor, RecordReader } from "../../lib/mail/record.ts";
import { decodeXtext, encodeXtext } from "../../lib/mail/xtext.ts";
import {
  COMMAND,
  encodePacket,
  FieldReader,
  MilterFormatError,
  PacketReader,
} from "../../lib/milter/milter_codec.ts";
import * as PROTOCOLS from "../../lib/proto/protocols.ts";
import { formatProxyHeader, HEADER_LIMIT, parseProxyHeader } from "../../lib/smtp/haproxy.ts";
import { ReplyError, ReplyParser } from "../../lib/smtp/reply.ts";
import { ByteBuilder, decodeText } from "../../lib/vstring/byte_builder.ts";
import { concat, utf8 } from "../support/bytes.ts";
import type { Random } from "../support/random.ts";
import type { Target } from "./target.ts";

/** Some of the words one after another, now and then damaged. */
export function sentence(random: Random, words: readonly string[], most: number): Uint8Array<ArrayBuffer> {
  let text = "";
  for (let left = random.below(most + 1); left > 0; left--) text += random.pick(words);
  const bytes = utf8(text);
  return random.below(4) === 0 ? random.damage(bytes) : bytes;
}

/** The bytes in pieces of any length, often cut close to one of the places where something ends. */
export function cut(random: Random, bytes: Uint8Array, ends: readonly number[] = []): Uint8Array[] {
  const places = new Set<number>();
  for (const end of ends) if (random.below(2) === 0) places.add(end - 2 + random.below(5));
  for (let at = 0; at < bytes.length;) {
    at += 1 + random.below(random.below(3) === 0 ? 3 : 200);
    places.add(at);
  }
  const inside = [...places].filter((at) => at > 0 && at < bytes.length).sort((a, b) => a - b);
  return [0, ...inside].map((from, i) => bytes.subarray(from, inside[i] ?? bytes.length));
}

const PATH_WORDS = [
  "<",
  ">",
  "@",
  ".",
  ",",
  ":",
  '"',
  "\\",
  "[",
  "]",
  "(",
  ")",
  "!",
  "%",
  "+",
  "-",
  " ",
  "\t",
  "\0",
  "\r",
  "\n",
  "a",
  "bob",
  "B.c",
  "local.test",
  "xn--0049",
  "postmaster",
  "127.0.0.1",
  "IPv6:::1",
  '"a b"',
  '"a@b"',
  '"\\""',
  "..",
  "\u00fc",
  "\u0140",
  "\u010a",
  "\u202e",
  "\ufeff",
  "SIZE=1",
  " NOTIFY=NEVER",
  " ORCPT=rfc822;a+2B",
  "=",
  "a".repeat(255),
]; // deno-fmt-ignore

const LOCAL_WORDS = ["a", "b.c", ".", "\u00fc", '"a b"', '"a\\\\b"', '"\\"x"', '"@"', '"\\ "', '".a"', '"a', '"', "a'b"];
const DOMAIN_WORDS = [
  "local",
  ".",
  "test",
  "xn--0049",
  "[192.0.2.1]",
  "[IPv6:::1]",
  "a-b",
  "_x",
  "\u00fc",
  "TEST",
  ".",
];

/** What parsePathArgument takes can be written down and read again, and is then the same. */
function path(random: Random): void {
  const argument = random.below(2) === 0
    ? concat(utf8(random.pick(["TO:", "to:<", "TO:<", "TO:<a@"])), sentence(random, PATH_WORDS, 12))
    : concat(
      utf8("TO:<"),
      sentence(random, LOCAL_WORDS, 3),
      utf8("@"),
      sentence(random, DOMAIN_WORDS, 3),
      utf8(">"),
    );
  const options = { strict: random.below(2) === 0, utf8: random.below(2) === 0 };
  const parsed = parsePathArgument(argument, "to", options);
  if (parsed.kind === "bad") return;
  const { address } = parsed;
  assert.ok(!/[\0\r\n]/.test(address), "no line end or NUL");
  if (!options.utf8) assert.ok(/^[\0-\x7f]*$/.test(address), "ASCII");
  const again = parsePathArgument(utf8(`TO:<${quoteAddress(address)}>`), "to", options);
  assert.equal(again.kind === "path" ? again.address : again.why, address);
  assert.equal(unquoteAddress(quoteAddress(address)), address);
  for (const { keyword, value } of parsed.parameters) {
    assert.match(keyword, /^[A-Z0-9][A-Z0-9-]*$/);
    assert.ok(value === undefined || (value !== "" && !/[\0-\x20\x7f]/.test(value)), keyword);
  }
}

const HEADER_WORDS = [
  "To",
  "From",
  "Subject",
  ":",
  " ",
  "\t",
  "\n",
  "\r\n",
  "\n ",
  "\r",
  "\0",
  "a@b.test",
  "<",
  ">",
  "(",
  ")",
  '"',
  "\\",
  ",",
  ";",
  "@",
  ".",
  "x",
  "group:",
  "=?utf-8?q?a?=",
  "\u00e9",
  "[",
  "]",
  "@r.test:",
  "\n\n",
  "((((",
  '"a\n b"',
]; // deno-fmt-ignore

/** Headers and addresses stand in order inside what was read, and replacing nothing changes nothing. */
function header(random: Random): void {
  const content = sentence(random, HEADER_WORDS, 40);
  const limit = 1 + random.below(200);
  let at = 0;
  for (let field = readHeaderField(content, at, limit); field !== undefined;) {
    assert.ok(field.next > at && field.next <= content.length && field.end <= field.next);
    assert.ok(field.valueStart <= field.end && headerNameLength(content, at, content.length) > 0);
    assert.ok(!/[\r\n]/.test(unfoldText(content.subarray(field.valueStart, field.end))));
    at = field.next;
    field = readHeaderField(content, at, limit);
  }
  const found = findHeaderAddresses(content, 1 + random.below(30)).addresses;
  let last = 0;
  for (const { start, end, address } of found) {
    assert.ok(start >= last && end > start && end <= content.length);
    assert.ok(!/[\r\n]/.test(address));
    last = end;
  }
  const same = found.map(({ start, end }) => ({ start, end, text: decodeText(content.subarray(start, end)) }));
  if (decodeText(content).includes("\ufffd")) return;
  assert.deepEqual(replaceInHeader(content, same), content);
}

const MIME_WORDS = [
  "Content-Type: multipart/mixed; boundary=a\n",
  'Content-Type: multipart/digest; boundary="b c"\n',
  "Content-Type: message/rfc822\n",
  "Content-Transfer-Encoding: 8bit\n",
  "Content-Transfer-Encoding: base64\n",
  "\n",
  "--a\n",
  "--a--\n",
  "--b c\n",
  "--b c--\n",
  "text\n",
  "Subject: x\n",
  " folded\n",
  "\t\n",
  "--",
  "\u00fc\n",
  "\0",
  "Content-Type: multipart/x; boundary=\n",
  ": x\n",
  "a".repeat(300) + "\n",
]; // deno-fmt-ignore

/** Every byte of a message is a header's or a body's, however it comes in pieces, and each fault is told once. */
function mime(random: Random): void {
  const message = sentence(random, MIME_WORDS, 40);
  const options = {
    headerLimit: random.pick([64, 1000, 102_400]),
    parts: random.below(4) > 0,
    nestingLimit: random.below(5),
    boundaryLimit: random.pick([1, 10, 2048]),
    faults: new Set(Object.keys(MIME_FAULTS) as MimeFault[]),
  };
  const read = (pieceLength: number): string[] => {
    const told: string[] = [];
    const faults: string[] = [];
    let offset = 0;
    const reader = new MimeReader(options, {
      header: (field, where) => {
        assert.ok(field.length <= options.headerLimit);
        told.push(`${where} ${decodeText(field)}`);
      },
      headerEnd: (separated) => told.push(`end ${separated}`),
      body: (data, endsLine, at) => {
        if (at === 0 || at < offset) offset = 0;
        told.push(`${decodeText(data)}${endsLine ? "\n" : ""}`);
        offset = at + data.length;
      },
      fault: (fault) => faults.push(fault),
    });
    for (const line of splitLines(message)) {
      for (let at = 0; at === 0 || at < line.length; at += pieceLength) {
        const end = Math.min(line.length, at + pieceLength);
        reader.piece(line.subarray(at, end), end === line.length);
      }
    }
    reader.finish();
    assert.equal(new Set(faults).size, faults.length);
    return told;
  };
  const whole = read(1 << 20);
  assert.equal(whole.filter((one) => one.startsWith("end ")).length, 1);
}

function splitLines(message: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let at = 0; at < message.length;) {
    const end = message.indexOf(10, at);
    lines.push(message.subarray(at, end < 0 ? message.length : end));
    at = end < 0 ? message.length : end + 1;
  }
  return lines;
}

/** The outcome of a reader, of which only one kind of error may come. */
function outcome<T>(read: () => T, allowed: new (...args: never[]) => Error): T | "bad" {
  try {
    return read();
  } catch (error) {
    if (error instanceof allowed) return "bad";
    throw error;
  }
}

/** Both readers of records see the same, and what they have seen is written as it was. */
function record(random: Random): void {
  const out = new ByteBuilder(1 << 20, 1024);
  for (let left = random.below(12); left > 0; left--) {
    const type = random.pick(Object.values(RECORD));
    appendRecord(out, type, random.bytes(random.pick([0, 1, 5, 127, 128, 129, 300, 400])));
  }
  const honest = out.copy();
  const file = random.below(3) === 0 ? random.damage(honest, 8) : honest;
  const readAt = (buffer: Uint8Array, offset: number) => {
    const part = file.subarray(offset, offset + Math.min(buffer.length, 1 + random.below(4000)));
    buffer.set(part);
    return part.length;
  };
  const byCursor = outcome(() => {
    const cursor = new RecordCursor(file);
    const again = new ByteBuilder(1 << 20, 1024);
    while (cursor.next()) appendRecord(again, cursor.type, cursor.data);
    return again.copy();
  }, BadRecordError);
  const byReader = outcome(() => {
    const reader = new RecordReader(readAt, 0, 1 + random.below(9000));
    const again = new ByteBuilder(1 << 20, 1024);
    while (reader.next()) appendRecord(again, reader.type, reader.data);
    return again.copy();
  }, BadRecordError);
  assert.deepEqual(byReader, byCursor);
  if (file === honest) assert.deepEqual(byCursor, honest);
  outcome(() => {
    const reader = new EnvelopeReader((buffer, offset) => {
      const part = file.subarray(offset, offset + buffer.length);
      buffer.set(part);
      return part.length;
    });
    for (let batch = 0; batch < 100 && !reader.finished; batch++) reader.recipients(10);
    return reader.envelope();
  }, BadRecordError);
}

const TABLES: readonly Fields[] = Object.values(PROTOCOLS).filter((one) =>
  typeof one === "object" && one !== null && "requests" in one
).flatMap((one) => {
  const { requests, replies } = one as { requests: object; replies: object };
  return [...Object.values(requests), ...Object.values(replies)].map((message) => message.fields as Fields);
});

/** A value that a field may have. */
function valueOf(random: Random, field: Field): unknown {
  switch (field.kind) {
    case "text":
      return random.pick([
        "",
        "a",
        "k\u00e4se",
        "\0\r\n",
        "x".repeat(Math.min(field.most, random.below(300))),
      ])
        .slice(0, Math.floor(field.most / 2));
    case "bytes":
      return random.bytes(random.below(Math.min(field.most, 200) + 1));
    case "integer":
      return Math.min(field.most, random.pick([0, 1, 127, 128, 300, 2 ** 31, field.most]));
    case "flag":
      return random.below(2) === 0;
    case "choice":
      return random.pick(field.of);
    case "list":
      return Array.from(
        { length: random.below(Math.min(3, field.most) + 1) },
        () => valuesOf(random, field.of),
      );
  }
}

function valuesOf(random: Random, fields: Fields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(random, field)]));
}

/** What a message of any protocol becomes on the wire is that message again; damaged it is another or a CodecError. */
function ipc(random: Random): void {
  const fields = random.pick(TABLES);
  const values = valuesOf(random, fields);
  const out = new ByteBuilder(1 << 22, 1024);
  encodeFields(out, fields, values);
  const wire = out.copy();
  assert.deepEqual(decodeFields(wire, 0, wire.length, fields), values);
  const damaged = random.damage(wire, 6);
  const read = outcome(() => decodeFields(damaged, 0, damaged.length, fields), CodecError);
  if (read !== "bad") {
    const again = new ByteBuilder(1 << 22, 1024);
    encodeFields(again, fields, read as Record<string, unknown>);
  }
  const whole = random.bytes(random.below(300));
  const take = (pieces: readonly Uint8Array[]) =>
    outcome(() => {
      const seen: string[] = [];
      const reader = new FrameReader(
        1000,
        (kind, exchange, bytes, start, end) =>
          void seen.push(`${kind} ${exchange} ${bytes.subarray(start, end)}`),
      );
      for (const piece of pieces) reader.push(piece);
      return seen;
    }, CodecError);
  const framed = random.below(2) === 0 ? whole : frameOf(wire.subarray(0, 900), random);
  assert.deepEqual(take(cut(random, framed)), take([framed]));
}

function frameOf(payload: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const head = new DataView(new ArrayBuffer(9));
  head.setUint32(0, 5 + payload.length);
  head.setUint8(4, random.below(40));
  head.setUint32(5, random.below(1000));
  const one = concat(new Uint8Array(head.buffer), payload);
  return random.below(3) === 0 ? random.damage(concat(one, one)) : concat(one, one);
}

/** xtext of any text is printable ASCII; it is read again where the text is printable ASCII too, and else not at all. */
function xtext(random: Random): void {
  const text = decodeText(
    sentence(random, ["a", "+", "=", "+2B", "\u00fc", " ", "+4", "~", "+00", "+0A"], 10),
  );
  const encoded = encodeXtext(text);
  assert.match(encoded, /^[\x21-\x7e]*$/);
  assert.equal(decodeXtext(encoded), /^[\x20-\x7e]*$/.test(text) ? text : undefined);
  const raw = decodeXtext(text);
  if (raw !== undefined) assert.match(raw, /^[\x20-\x7e]*$/);
}

const PROXY_WORDS = [
  "PROXY ",
  "TCP4 ",
  "TCP6 ",
  "UNKNOWN",
  "192.0.2.1 ",
  "::1 ",
  "25 ",
  "65536",
  "\r\n",
  "\n",
  "\0",
  " ",
  "EHLO x\r\n",
];
const SIGNATURE = Uint8Array.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);

/** A header of the PROXY protocol is taken as soon as it is whole, whatever is behind it, and can be written again. */
function haproxy(random: Random): void {
  const bytes = random.below(2) === 0 ? sentence(random, PROXY_WORDS, 9) : concat(
    SIGNATURE,
    Uint8Array.of(0x20 + random.below(3), random.pick([0x11, 0x21, 0, 0x31])),
    random.bytes(random.below(60)),
  );
  const read = parseProxyHeader(bytes);
  if (read.kind === "more") assert.ok(bytes.length < HEADER_LIMIT);
  if (read.kind !== "proxied" && read.kind !== "direct") return;
  assert.ok(read.length <= bytes.length);
  assert.deepEqual(parseProxyHeader(bytes.subarray(0, read.length)), read);
  assert.deepEqual(parseProxyHeader(concat(bytes.subarray(0, read.length), utf8("EHLO x\r\n"))), read);
  if (read.kind === "proxied") {
    const again = parseProxyHeader(formatProxyHeader(read.ends));
    assert.deepEqual(again.kind === "proxied" ? again.ends : again.kind, read.ends);
  }
}

/** Packets of a filter are the same however they are cut; their fields are read within them. */
function milter(random: Random): void {
  const packets = Array.from(
    { length: random.below(4) },
    () =>
      encodePacket(
        random.pick([...Object.values(COMMAND), random.below(256)]),
        random.bytes(random.below(80)),
      ),
  );
  const honest = concat(...packets);
  const wire = random.below(3) === 0 ? random.damage(honest) : honest;
  const take = (pieces: readonly Uint8Array[]) =>
    outcome(() => {
      const reader = new PacketReader();
      const seen: string[] = [];
      for (const piece of pieces) {
        reader.push(piece);
        for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
          seen.push(`${packet.code} ${packet.data}`);
          outcome(() => {
            const fields = new FieldReader(packet!.data);
            for (let i = 0; i < 50; i++) fields.string();
          }, MilterFormatError);
        }
      }
      return seen;
    }, MilterFormatError);
  assert.deepEqual(take(cut(random, wire)), take([wire]));
}

const REPLY_WORDS = [
  "250",
  "-",
  " ",
  "220 ok\r\n",
  "354\r\n",
  "5.1.1 ",
  "\r\n",
  "\n",
  "\0",
  "x",
  "250-a\r\n250 b\r\n",
  "999",
  "\u00fc",
];

/** A server's replies are the same however they are cut, or an error in both. */
function reply(random: Random): void {
  const bytes = sentence(random, REPLY_WORDS, 12);
  const take = (pieces: readonly Uint8Array[]) =>
    outcome(() => {
      const parser = new ReplyParser();
      const seen: string[] = [];
      for (const piece of pieces) {
        for (let at = 0; at < piece.length;) {
          at = parser.push(piece, at, piece.length);
          const one = parser.take();
          if (one === undefined) continue;
          assert.ok(one.code >= 0 && one.code <= 999);
          seen.push(JSON.stringify(one));
        }
      }
      return seen;
    }, ReplyError);
  assert.deepEqual(take(cut(random, bytes)), take([bytes]));
}

/** Each by its name. */
export const PARSERS: readonly Target[] = Object.entries({
  path,
  header,
  mime,
  record,
  ipc,
  xtext,
  haproxy,
  milter,
  reply,
}).map(([name, round]) => ({ name, round }));
