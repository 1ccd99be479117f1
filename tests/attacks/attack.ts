/** Plays an attack against a mail host in this process and tells what came of it. Not a test itself. @module */
import { type HostOptions, MailHost, settled, type TestClient } from "../daemons/smtpd/mail_host.ts";
import type { QueuedMessage } from "../daemons/smtpd/queued_message.ts";
import { parseScript, type Step } from "./script.ts";

/** How the input reaches the server. */
export type Cut =
  /** Each piece in one segment. */
  | { readonly kind: "whole" }
  | { readonly kind: "bytes" }
  /** Each piece in two segments. */
  | { readonly kind: "at"; readonly offset: number };

/** What happened. */
export interface Played {
  /** Replies that are no part of a macro's own conversation. */
  readonly replies: readonly string[];
  readonly ended: boolean;
  readonly queued: readonly QueuedMessage[];
  /** Files in incoming/ that are not complete. */
  readonly unfinished: number;
  readonly log: readonly string[];
  readonly milliseconds: number;
}

/** Plays an input against one host, and leaves the host's queue and log empty. */
export async function play(
  host: MailHost,
  input: string,
  cut: Cut = WHOLE,
  address?: string,
): Promise<Played> {
  const [played] = await playAll(host, input, [cut], address);
  return played!;
}

export const WHOLE: Cut = { kind: "whole" };

/** Plays an input several times at once, each time cut in another way. */
export async function playAll(
  host: MailHost,
  input: string,
  cuts: readonly Cut[],
  address?: string,
): Promise<Played[]> {
  const steps = parseScript(input);
  const started = performance.now();
  const clients = await Promise.all(cuts.map((cut) => converse(host, steps, cut, address)));
  await settled();
  const milliseconds = performance.now() - started;
  const endings = await Promise.all(clients.map(async ({ client, replies }) => {
    replies.push(...await client.rest());
    return { replies, ended: client.closed, port: String(client.session.peer.port) };
  }));
  for (const { client } of clients) client.leave();
  await settled();
  const queued = host.messages();
  const unfinished = host.files().filter(({ mode }) => mode !== 0o700).length;
  const log = [...host.log];
  host.clear();
  return endings.map(({ replies, ended, port }) => ({
    replies,
    ended,
    queued: queued.filter(({ attributes }) => attributes.get("client_port") === port),
    unfinished,
    log,
    milliseconds,
  }));
}

async function converse(host: MailHost, steps: readonly Step[], cut: Cut, address: string | undefined) {
  const client = host.connect(address);
  await client.reply();
  const replies: string[] = [];
  for (const step of steps) await act(client, step, cut, replies);
  return { client, replies };
}

async function act(client: TestClient, step: Step, cut: Cut, replies: string[]): Promise<void> {
  switch (step.kind) {
    case "send":
      for (const segment of segments(step.bytes, cut)) client.send(segment);
      return;
    case "wait":
      replies.push(...await client.rest());
      return;
    case "say": {
      const reply = await client.say(step.line);
      if (!reply.startsWith(step.code)) throw new Error(`${step.line}: ${reply}`);
      return;
    }
    case "close":
      return client.leave();
    default:
      step satisfies never;
  }
}

function segments(bytes: Uint8Array, cut: Cut): Uint8Array[] {
  if (cut.kind === "whole") return [bytes];
  if (cut.kind === "bytes") return Array.from(bytes, (byte) => Uint8Array.of(byte));
  return [bytes.subarray(0, cut.offset), bytes.subarray(cut.offset)].filter((part) => part.length > 0);
}

/** A host for the cases; errors do not end sessions unless a case is about that. */
export function attackHost(options: HostOptions = {}): MailHost {
  const settings = { smtpd_soft_error_limit: "1000", smtpd_client_connection_count_limit: "0" };
  return new MailHost({ ...options, settings: { ...settings, ...options.settings } });
}
