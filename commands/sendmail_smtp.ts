/**
 * `sendmail -bs`: SMTP on standard input and output, spoken by the server of the running mail system. The
 * conversation is passed on byte for byte.
 *
 * @module
 */
// Safe primitives
import { connectStream, type StreamTarget } from "../lib/safe/tcp_client.ts";
import type { Channel } from "../lib/safe/channel.ts";
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
// This program
import type { CommandEnv } from "./command.ts";
import { SendmailError } from "./sendmail_error.ts";
import { EX } from "./sysexits.ts";

/** Bytes that may wait for the server before standard input is left alone. */
const PENDING_LIMIT = 1024 * 1024;

/** Connects the caller with the SMTP server; returns when the server closes. */
export async function relaySmtp(env: CommandEnv): Promise<number> {
  const target = findServer(env.config());
  if (target === undefined) {
    throw new SendmailError(EX.UNAVAILABLE, "master.toml has no smtpd service for -bs");
  }
  const made = await connectStream(target);
  if (made.kind === "failed") {
    throw new SendmailError(EX.TEMPFAIL, `cannot reach the mail system: ${made.why}`);
  }
  const { channel } = made;
  const over = new Promise<void>((resolve) => {
    channel.start({
      data: (bytes) => env.writeBytes(bytes),
      closed: () => resolve(),
    });
  });
  // Input that ends without QUIT ends the conversation; a server that closed no longer needs input.
  await Promise.race([over, passOn(env.stdin(), channel).then(() => over)]);
  return EX.OK;
}

async function passOn(input: AsyncIterable<Uint8Array>, channel: Channel): Promise<void> {
  for await (const chunk of input) {
    channel.write(chunk.slice());
    while (channel.pending > PENDING_LIMIT) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  channel.finish();
}

/** The endpoint of the SMTP server: a unix socket before TCP. */
export function findServer(
  configuration: Pick<Configuration, "services"> & {
    readonly settings: { readonly queue_directory: string };
  },
): StreamTarget | undefined {
  const servers = configuration.services.filter((entry) => entry.command === "smtpd");
  const local = servers.find((entry) => entry.type === "unix");
  if (local !== undefined) {
    const directory = `${configuration.settings.queue_directory}/${local.private ? "private" : "public"}`;
    return { kind: "unix", path: `${directory}/${local.name}` };
  }
  const listen = servers.find((entry) => entry.listen !== undefined)?.listen;
  if (listen === undefined) return undefined;
  const host = listen.host ?? "";
  const any = host === "" || host === "0.0.0.0" || host === "::";
  return { kind: "inet", host: any ? "127.0.0.1" : host, port: listen.port, family: 0 };
}
