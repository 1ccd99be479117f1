/**
 * Postern beside Debian's Postfix with the same filter, which uses every action: what the filter is told, what the client
 * is told, and which message is in the queue.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { Dialogue } from "../support/dialogue.ts";
import { commandsOf, linesOf, MILTER_CASES, type MilterCase } from "../support/milter_cases.ts";
import { Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { ScriptedFilter, type ToldEvent } from "../support/scripted_filter.ts";
import { testNeeding } from "../support/tools.ts";

/** What became of one session. */
interface Fate {
  readonly replies: readonly string[];
  readonly told: readonly string[];
  readonly messages: readonly string[];
}

/** A mail system of the comparison. */
interface System {
  readonly port: number;
  readonly hostName: string;
  /** The queue file of a message; undefined: there is none. */
  file(id: string): string | undefined;
}

/** Macros whose values are the systems' own. */
const OWN_MACROS = ["v", "{client_port}", "{client_connections}", "{daemon_port}"];

function key(index: number): string {
  return `k${index}`;
}

function scriptOf(cases: readonly MilterCase[], connect: MilterCase | undefined) {
  const entries = cases.flatMap((test, index) => [[key(index), test.script ?? {}], [
    `h${index}.test`,
    test.script ?? {},
  ]]);
  return { ...Object.fromEntries(entries), connect: connect?.connect ?? {} };
}

async function converse(system: System, test: MilterCase, index: number): Promise<string[]> {
  using dialogue = await Dialogue.open(system.port);
  const replies = [await dialogue.reply()];
  for (const command of commandsOf(test)) {
    const text = command === "."
      ? [...linesOf(test).map((line) => line.startsWith(".") ? `.${line}` : line), "."].join("\r\n")
      : command.replace("KEY", key(index)).replace("c.test", `h${index}.test`);
    if (command === "." && !replies.at(-1)!.startsWith("354")) continue;
    const reply = await dialogue.say(text);
    replies.push(reply);
    if (reply === "") break;
  }
  return replies;
}

/** The reply without what is the systems' own: names, ids, what EHLO offers. */
function plainReply(reply: string, system: System): string {
  if (reply.startsWith("220 ")) return "220";
  if (reply.startsWith("221 ")) return "221";
  if (/^250[- ]/.test(reply) && reply.includes(system.hostName)) {
    return reply.includes("PIPELINING") ? "250 (extensions)" : reply.replaceAll(system.hostName, "HOST");
  }
  return reply.replaceAll(system.hostName, "HOST").replace(/queued as \w+/, "queued as ID");
}

function plain(text: string, system: System, ids: readonly string[]): string {
  let out = text.replaceAll(system.hostName, "HOST");
  for (const id of ids) out = out.replaceAll(id, "ID");
  return out.replace(/\b\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?/g, "DATE")
    .replace(/<\d{14}\.ID@/g, "<TIME.ID@").replace(/\(Postern\)|\(Postfix\)/g, "(NAME)");
}

function plainEvent({ event, data, macros }: ToldEvent, system: System, ids: readonly string[]): string {
  // Which of its own callbacks come when the client has gone is libmilter's affair.
  const own = Object.entries(macros).filter(([name]) => !OWN_MACROS.includes(name)).sort();
  return plain(`${event} ${JSON.stringify(data)} ${JSON.stringify(own)}`, system, ids);
}

/** Sender, recipients and content of a queue file, as Debian's postcat tells them: it must be able to. */
async function readMessage(postfix: Postfix, path: string): Promise<string> {
  const envelope = await postfix.run("/usr/sbin/postcat", ["-e", path]);
  const content = await postfix.run("/usr/sbin/postcat", ["-bh", path]);
  assert.equal(envelope.errors + content.errors, "");
  const lines = envelope.output.split("\n").filter((line) =>
    /^(sender|recipient|original_recipient|canceled_recipient|named_attribute: (notify_flags|dsn_orig_rcpt|envelope_id|ret_flags))/
      .test(line)
  );
  const queue = path.includes("/hold/") ? "hold" : "queue";
  // A sender's attributes may stand anywhere before the end.
  return [queue, ...sorted(lines), content.output].join("\n");
}

/** Recipients with what stands in front of each, then all else. */
function sorted(lines: readonly string[]): string[] {
  const groups: string[] = [];
  let group: string[] = [];
  const others: string[] = [];
  for (const line of lines) {
    if (/^sender|envelope_id|ret_flags/.test(line)) others.push(line);
    else group.push(line.replace("named_attribute: ", ""));
    if (/^(canceled_)?recipient/.test(line)) {
      groups.push(group.sort().join("; "));
      group = [];
    }
  }
  return [...others.sort(), ...groups];
}

async function fateOf(
  system: System,
  postfix: Postfix,
  filter: ScriptedFilter,
  test: MilterCase,
  index: number,
): Promise<Fate> {
  const replies = await converse(system, test, index);
  const told = await filter.told();
  const ids = replies.flatMap((reply) => /queued as (\w+)/.exec(reply)?.[1] ?? []);
  const discards = Object.values(test.script ?? {}).includes("discard");
  const messages = [];
  for (const id of discards ? [] : ids) {
    if (!await until(() => system.file(id) !== undefined)) {
      throw new Error(`${test.name}: ${id} is not in the queue of ${system.hostName}`);
    }
    messages.push(plain(await readMessage(postfix, system.file(id)!), system, ids));
  }
  const known = [...ids, ...told.map(({ macros }) => macros["i"]).filter((id) => id !== undefined)];
  return {
    replies: replies.map((reply) => plainReply(reply, system)),
    told: told.map((event) => plainEvent(event, system, known)),
    messages,
  };
}

const SETTINGS = {
  mydomain: "test",
  myorigin: "mx.test",
  default_transport: "discard",
  relay_transport: "discard",
  defer_transports: "discard",
  milter_default_action: "tempfail",
  smtpd_error_sleep_time: "0",
} as const;
const ALIASES = "inline:{list@y.test=e@z.test}";
const REFUSED = "inline:{{refused@y.test=REJECT refused by us}}";

/** What Postern does otherwise on purpose, by case; docs/differences.md says why. */
const DIFFERENT: ReadonlySet<string> = new Set(["a header is added with line ends of SMTP"]);

async function compare(options: readonly string[], cases: readonly MilterCase[]): Promise<void> {
  await using filters = new AsyncDisposableStack();
  const [ours, theirs] = [0, 1].map(() => filters.use(new ScriptedFilter(options))) as [
    ScriptedFilter,
    ScriptedFilter,
  ];
  const script = scriptOf(MILTER_CASES, undefined);
  await Promise.all([ours.start(script), theirs.start(script)]);
  await using postfix = await Postfix.start({
    settings: {
      ...SETTINGS,
      smtpd_milters: `unix:${theirs.socket}`,
      virtual_alias_maps: ALIASES,
      smtpd_relay_restrictions: "permit_mynetworks reject",
      smtpd_recipient_restrictions: `check_recipient_access ${REFUSED}`,
    },
  });
  const toml = Object.entries(SETTINGS).map(([name, value]) => [name, JSON.stringify(value)]);
  await using postern = await Postern.start({
    settings: {
      ...Object.fromEntries(toml),
      defer_transports: '["discard"]',
      mydestination: "[]",
      virtual_mailbox_domains: "[]",
      local_recipient_maps: "[]",
      mynetworks: '["127.0.0.0/8"]',
      notify_classes: "[]",
      smtpd_milters: JSON.stringify([`unix:${ours.socket}`]),
      virtual_alias_maps: JSON.stringify([ALIASES]),
      myhostname: '"postern.test"',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
      smtpd_recipient_restrictions: JSON.stringify(["check_recipient_access", REFUSED]),
    },
  });
  const find = (files: readonly string[], id: string) => files.find((path) => path.endsWith(`/${id}`));
  const a: System = {
    port: postern.port,
    hostName: "postern.test",
    file: (id) => find([...postern.queued("deferred"), ...postern.queued("hold")], id),
  };
  const b: System = {
    port: postfix.port,
    hostName: "postfix.test",
    file: (id) => find([...postfix.queued("deferred"), ...postfix.queued("hold")], id),
  };
  const wrong: string[] = [];
  for (const test of cases) {
    const index = MILTER_CASES.indexOf(test);
    if (test.connect !== undefined) {
      const script = scriptOf(MILTER_CASES, test);
      await Promise.all([ours.start(script), theirs.start(script)]);
    }
    const [mine, his] = await Promise.all([
      fateOf(a, postfix, ours, test, index),
      fateOf(b, postfix, theirs, test, index),
    ]);
    if (DIFFERENT.has(test.name)) continue;
    try {
      assert.deepEqual(mine, his);
    } catch (error) {
      wrong.push(`${test.name}: ${(error as Error).message}`);
    }
  }
  if (wrong.length > 0) throw postern.failure(wrong.join("\n\n"));
}

testNeeding(
  ["root", "postfix", "python3-milter"],
  "a filter is told the same by Postern and Postfix, and its edits come to the same",
  () => compare([], MILTER_CASES),
);

testNeeding(
  ["root", "postfix", "python3-milter"],
  "a filter that wants leading blanks and refused recipients is told the same",
  () => {
    const names = [
      "nothing is done",
      "a header with odd blanks",
      "a recipient is refused by us",
      "a header is added",
      "a header is changed",
    ];
    return compare(["space", "rejected"], MILTER_CASES.filter(({ name }) => names.includes(name)));
  },
);
