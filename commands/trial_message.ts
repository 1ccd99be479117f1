/**
 * The trial's test message: sent by a small SMTP client of its own, then followed through the log into the Maildir.
 *
 * @module
 */
// Safe primitives
import { type Connection, connectTcp } from "../lib/safe/connect.ts";
import { listDirectory, readBytesFile } from "../lib/safe/file.ts";
// Utility
import { decodeText, encodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { formatMailDate } from "../lib/mail/date.ts";
// Wire protocols
import { type Reply, ReplyParser } from "../lib/smtp/reply.ts";
// This program
import { pause } from "./master_control.ts";
import type { TrialPaths } from "./trial_configuration.ts";
import type { StageDisplay } from "./trial_display.ts";
import type { TrialLog } from "./trial_log.ts";

const SENDER = "trial@localhost";
const MAILBOX = "welcome";
const RECIPIENT = `${MAILBOX}@example.test`;
/** Longest wait for one reply of the server, and for one stage of the delivery, milliseconds. */
const REPLY_TIMEOUT = 30_000;
const STAGE_TIMEOUT = 30_000;
/** Largest file that is looked into, bytes. */
const FILE_LIMIT = 1024 * 1024;
/** What stands before the queue id in the server's answer (Postfix's words). */
const QUEUED_AS = "queued as ";

/** A message that the server took. */
export interface SentMessage {
  readonly queueId: string;
  /** Stands in the message and in no other. */
  readonly token: string;
}

/** Sends the message. Throws an Error that says which command was refused, and how. */
export async function sendTestMessage(port: number, display: StageDisplay): Promise<SentMessage> {
  const token = crypto.randomUUID();
  let queueId = "";
  let connection: Connection | undefined;
  try {
    await display.stage("greeting", `connecting to 127.0.0.1:${port}`, async () => {
      connection = await connectTcp("127.0.0.1", port, REPLY_TIMEOUT);
      return (await expectReply(connection, "", 220)).text;
    });
    await display.stage("smtpd", "sending the message", async () => {
      const reply = await converse(connection!, token);
      const place = reply.text.indexOf(QUEUED_AS);
      if (place < 0) throw new Error(`Cannot follow message: the answer "${reply.text}" has no queue id`);
      queueId = reply.text.slice(place + QUEUED_AS.length);
      return reply.text;
    });
    await expectReply(connection!, "QUIT\r\n", 221);
  } finally {
    connection?.close();
  }
  return { queueId, token };
}

async function converse(connection: Connection, token: string): Promise<Reply> {
  await expectReply(connection, "EHLO localhost\r\n", 250);
  await expectReply(connection, `MAIL FROM:<${SENDER}>\r\n`, 250);
  await expectReply(connection, `RCPT TO:<${RECIPIENT}>\r\n`, 250);
  await expectReply(connection, "DATA\r\n", 354);
  return await expectReply(connection, `${messageText(token)}.\r\n`, 250);
}

function messageText(token: string): string {
  return [
    `From: Postern trial <${SENDER}>`,
    `To: <${RECIPIENT}>`,
    "Subject: Welcome to Postern",
    `Date: ${formatMailDate(Date.now())}`,
    `Message-ID: <${token}@localhost>`,
    "",
    "This message came in over SMTP and passed through smtpd, cleanup, the queue",
    "manager and virtual delivery, each a process in a sandbox of its own.",
    "",
  ].map((line) => `${line}\r\n`).join("");
}

/** Sends a command, nothing when it is empty, and reads the reply, which must have the code. */
export async function expectReply(connection: Connection, command: string, code: number): Promise<Reply> {
  connection.deadline(REPLY_TIMEOUT);
  if (command !== "") await connection.write(encodeText(command));
  const reply = await readReply(connection);
  connection.noDeadline();
  if (reply.code === code) return reply;
  const [verb = ""] = command.split("\r\n");
  throw new Error(`Cannot send message: the server answered "${reply.text}" to "${verb}"`);
}

async function readReply(connection: Connection): Promise<Reply> {
  const parser = new ReplyParser();
  const buffer = new Uint8Array(4096);
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("Cannot send message: the server closed the connection");
    parser.push(buffer, 0, count);
    const reply = parser.take();
    if (reply !== undefined) return reply;
  }
}

/** Waits for each stage of the delivery. Throws when one does not come, or ends otherwise than well. */
export async function followMessage(
  { queueId, token }: SentMessage,
  paths: TrialPaths,
  log: TrialLog,
  display: StageDisplay,
): Promise<void> {
  const stage = (name: string, program: string, mark: string) =>
    display.stage(name, "waiting for its log line", async () => {
      const line = await log.find(
        (one) =>
          one.program.endsWith(program) && one.text.startsWith(`${queueId}: `) && one.text.includes(mark),
        STAGE_TIMEOUT,
      );
      if (line === undefined) {
        throw new Error(`Cannot follow message ${queueId}: ${name} did not log it in time`);
      }
      return line.text;
    });
  await stage("cleanup", "cleanup", "message-id=");
  await stage("queue manager", "qmgr", "queue active");
  await display.stage("virtual", "waiting for its log line", async () => {
    const line = await log.find(
      (one) => one.text.startsWith(`${queueId}: to=`) && one.text.includes("status="),
      STAGE_TIMEOUT,
    );
    if (line?.text.includes("status=sent") === true) return line.text;
    throw new Error(
      line === undefined ? `Cannot follow message ${queueId}: no delivery` : `Cannot deliver ${line.text}`,
    );
  });
  await display.stage(
    "maildir",
    "looking for the file",
    () => findMessage(`${paths.mail}/${MAILBOX}/new`, token),
  );
}

/** Waits for a file with the token in a directory; its path. */
async function findMessage(directory: string, token: string): Promise<string> {
  const deadline = Date.now() + STAGE_TIMEOUT;
  const seen = new Set<string>();
  while (Date.now() < deadline) {
    for (const name of listDirectory(directory)) {
      if (seen.has(name)) continue;
      seen.add(name);
      const path = `${directory}/${name}`;
      if (decodeText(readBytesFile(path, FILE_LIMIT)).includes(token)) return path;
    }
    await pause(10);
  }
  throw new Error(`Cannot find the message: no new file in "${directory}"`);
}
