/**
 * The scripted delivery of the fault tests, and the promises that must hold after whatever was done to it: what was
 * acknowledged is delivered whole or reported, what was not sent to its end left nothing. Not a test itself.
 *
 * @module
 */
import { MaildropFile } from "../../commands/maildrop_file.ts";
import { submitMessage } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP_EXTERNAL } from "../../lib/proto/protocols.ts";
import { appendAttribute, formatTime } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import { SystemError } from "../../lib/safe/error.ts";
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { filesBelow } from "../support/postern.ts";
import { FaultDisk, Stopped } from "./fault_disk.ts";
import { MAILBOXES, MailPath } from "./mail_path.ts";

interface Message {
  readonly name: string;
  /** `nobody` bounces, `later` is put off once. */
  readonly to: readonly string[];
  readonly lines: readonly string[];
}

const text = (name: string) => Array.from({ length: 20 }, (_, i) => `line ${i} of ${name}`);

/** Two that share a sync, one of them with every outcome; one too long for the journal; one of a local user. */
const MESSAGES = {
  one: { name: "one", to: ["box"], lines: text("one") },
  three: { name: "three", to: ["second", "nobody", "later"], lines: text("three") },
  large: {
    name: "large",
    to: ["mbox", "box"],
    lines: Array.from({ length: 2500 }, () => "large ".repeat(12)),
  },
  dropped: { name: "dropped", to: ["second"], lines: text("dropped") },
} satisfies Record<string, Message>;

/** What a report says in the place of a message that cannot be read. */
const WITHOUT_MESSAGE = "--- Undelivered message unavailable ---";

/** A queue's surroundings: mailboxes that have been used before. */
export function prepareMail(root: string): void {
  Deno.mkdirSync(`${root}/mail`);
  Deno.writeFileSync(`${root}/mail/mbox`, new Uint8Array(0), { mode: 0o600 });
  for (const name of MAILBOXES) {
    for (const folder of ["", "/new", "/tmp", "/cur"]) Deno.mkdirSync(`${root}/mail/${name}${folder}`);
  }
}

/** Sends all messages, waits until nothing is left of them, and drops the journal. Notes what was told to whom. */
export async function runScript(root: string, disk: FaultDisk, boot: string): Promise<void> {
  using path = new MailPath(root, boot);
  const { one, three, large, dropped } = MESSAGES;
  const steps = [
    () => Promise.all([submit(path, disk, one), submit(path, disk, three)]),
    () => submit(path, disk, large),
    () => drop(root, disk, dropped),
    // What failed once is tried again by a client, an agent, a scan; what still fails is left for the next start.
    () => path.rest(disk.planned ? 100 : undefined, () => disk.stopped),
    () => path.end(),
  ];
  for (const step of steps) if (!disk.stopped) await step();
}

async function submit(path: MailPath, disk: FaultDisk, message: Message): Promise<void> {
  const { status } = await submitMessage(path.cleanupClient, CLEANUP_EXTERNAL, async (sink) => {
    await sink.record(RECORD.TIME, formatTime(Date.now()));
    await sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
    await sink.record(RECORD.FROM, "sender@x.test");
    for (const user of message.to) await sink.record(RECORD.RECIPIENT, `${user}@x.test`);
    await sink.record(RECORD.MESSAGE, "");
    await sink.line(`Received: by mx.test id ${sink.queueId}`);
    for (const line of contentOf(message)) await sink.line(line);
    await sink.record(RECORD.EXTRACTED, "");
    await sink.record(RECORD.END, "");
    disk.note(`ended ${message.name}`);
  });
  if (status === 0) disk.note(`accepted ${message.name}`);
}

/** Posts as sendmail and postdrop do. */
async function drop(root: string, disk: FaultDisk, message: Message): Promise<void> {
  const settings = { queue_directory: `${root}/queue`, message_size_limit: 0, enable_long_queue_ids: false };
  try {
    const file = new MaildropFile(settings);
    const attributes = new ByteBuilder(1000);
    appendAttribute(attributes, "rewrite_context", "local");
    try {
      file.record(RECORD.TIME, formatTime(Date.now()));
      file.record(RECORD.FROM, "sender@x.test");
      for (const user of message.to) file.record(RECORD.RECIPIENT, `${user}@x.test`);
      file.record(RECORD.MESSAGE, "");
      for (const line of contentOf(message)) file.record(RECORD.NORMAL, line);
      file.record(RECORD.EXTRACTED, "");
      file.record(RECORD.END, "");
      disk.note(`ended ${message.name}`);
      await file.commit();
      disk.note(`accepted ${message.name}`);
    } catch (error) {
      file.abandon();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof SystemError) && !(error instanceof Stopped)) throw error;
  }
}

function contentOf({ name, lines }: Message): string[] {
  return ["From: sender@x.test", `Subject: ${name}`, "", ...lines, `end of ${name}`];
}

/**
 * Starts on what is there, lets everything come to rest, and says which promises are broken.
 *
 * @param strayLog a log that could not be removed may stay behind
 */
export async function brokenPromises(
  root: string,
  notes: readonly string[],
  boot: string,
  strayLog = false,
): Promise<string[]> {
  // The journal is dropped when its messages are gone, and their names from the queue with them. That the names of logs
  // are gone is not synced: of what was delivered, a log may come back, which stays.
  const dropped =
    notes.filter((note) => note.startsWith("accepted ")).length === Object.keys(MESSAGES).length &&
    filesBelow(`${root}/queue/journal`).length === 0;
  using _ = new FaultDisk(root); // which syncs nothing, and so is quick
  using path = new MailPath(root, boot);
  const left = await path.rest();
  const broken = left.map((file) => `left in the queue: ${file.slice(root.length)}`);
  const arrived = readMail(root, broken);
  for (const { name, to } of Object.values(MESSAGES)) {
    const accepted = notes.includes(`accepted ${name}`);
    for (const user of to) {
      const count = arrived.get(`${name} ${user}`) ?? 0;
      if (count === 0 && accepted) broken.push(`lost: ${name} for ${user}`);
      if (count > 0 && !notes.includes(`ended ${name}`)) broken.push(`uncalled for: ${name} for ${user}`);
    }
  }
  for (const queue of ["corrupt", "bounce", "defer", "trace", "incoming"]) {
    const files = filesBelow(`${root}/queue/${queue}`);
    const isLog = queue === "bounce" || queue === "defer" || queue === "trace";
    if ((dropped && isLog) || (queue === "defer" && strayLog)) continue;
    if (files.length > 0) broken.push(`${files.length} files in ${queue}`);
  }
  await path.end();
  if (filesBelow(`${root}/queue/journal`).length > 0) {
    broken.push("the journal has a segment that nobody drops");
  }
  return broken.length === 0 ? broken : [...broken, ...path.lines];
}

/** How often each message arrived at each place; what is not whole goes to `broken`. */
function readMail(root: string, broken: string[]): Map<string, number> {
  const arrived = new Map<string, number>();
  const take = (user: string, mail: string) => {
    const name = /^Subject: (\w+)$/m.exec(mail)?.[1] ?? "";
    const message = (MESSAGES as Record<string, Message>)[name];
    const about = /^Final-Recipient: rfc822; (\w+)@/m.exec(mail)?.[1] ?? user;
    // A report of a message that could not be read is a report: only one message has a recipient of this name.
    const without = about === "nobody" && mail.includes(WITHOUT_MESSAGE);
    const whole = message !== undefined && mail.includes(`\n${contentOf(message).slice(2).join("\n")}\n`);
    if (!whole && !without) broken.push(`damaged mail for ${user}: ${mail.slice(0, 500)}`);
    const key = `${without ? MESSAGES.three.name : name} ${about}`;
    arrived.set(key, (arrived.get(key) ?? 0) + 1);
  };
  for (const user of MAILBOXES) {
    for (const file of filesBelow(`${root}/mail/${user}/new`)) take(user, Deno.readTextFileSync(file));
  }
  for (const mail of Deno.readTextFileSync(`${root}/mail/mbox`).split(/^From .*\n/m).slice(1)) {
    // What a kill left unfinished stands before the next message, and is tried again.
    if (mail.includes("\nend of ")) take("mbox", mail);
  }
  return arrived;
}
