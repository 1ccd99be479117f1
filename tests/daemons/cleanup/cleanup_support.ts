/** cleanup in one process with its neighbours played by tables, and a client of it. Not a test itself. @module */
import { CleanupService } from "../../../daemons/cleanup/cleanup_service.ts";
import { SERVICE } from "../../../daemons/cleanup/service.ts";
import type { ServerExchange } from "../../../lib/ipc/server.ts";
import { appendAttribute } from "../../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../../lib/mail/record.ts";
import { type CLEANUP, CLEANUP_EXTERNAL, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import type { LineLookup, MapLookup, MapOutcome } from "../../../lib/proto/proxymap_client.ts";
import { milterConnector } from "../../../lib/milter/milter_connect.ts";
import { RewriteClient } from "../../../lib/proto/rewrite_client.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";
import { configure, settingsOf } from "../smtpd/mail_host.ts";
import { latin1, type QueuedMessage, readQueueFile } from "../smtpd/queued_message.ts";
import { utf8 } from "../../support/bytes.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

export interface CleanupOptions {
  /** TOML values by parameter. */
  readonly settings?: Readonly<Record<string, string>>;
  /** virtual_alias_maps. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What the tables of header_checks and its like have for a header or line. */
  readonly checks?: (parameter: string, line: string) => string | undefined;
  /** All tables fail. */
  readonly tableFails?: boolean;
  /** The trace service fails. */
  readonly traceFails?: boolean;
  /** trivial-rewrite is away. */
  readonly rewriteFails?: boolean;
  /** An existing directory for the queue. */
  readonly queue?: string;
}

/** cleanup and what it left. */
export class CleanupHost implements Disposable {
  readonly queue: string;
  readonly log: string[] = [];
  readonly hints: string[] = [];
  readonly troubles: string[] = [];
  /** What the trace service was asked for. */
  readonly traced: { readonly type: string; readonly fields: object }[] = [];
  readonly service: CleanupService;
  readonly #directory: TemporaryDirectory | undefined;

  constructor(options: CleanupOptions = {}) {
    this.#directory = options.queue === undefined ? new TemporaryDirectory() : undefined;
    this.queue = options.queue ?? this.#directory!.path;
    Deno.mkdirSync(`${this.queue}/hold`, { recursive: true });
    Deno.mkdirSync(`${this.queue}/incoming`, { recursive: true });
    Deno.mkdirSync(`${this.queue}/journal`, { recursive: true });
    const settings = {
      virtual_alias_maps: options.aliases === undefined && !options.tableFails ? "[]" : '["inline:{x=y}"]',
      ...options.settings,
      queue_directory: `"${this.queue}"`,
    };
    const note = (prefix: string) => (text: string) => void this.log.push(prefix + text);
    this.service = new CleanupService({
      settings: settingsOf(configure(settings), SERVICE.parameters),
      log: {
        info: note(""),
        warning: note("warning: "),
        error: note("error: "),
        debug: () => {},
        flush: () => {},
      },
      rewrite: new RewriteClient({
        call: (_type, fields) => {
          const { address } = fields as { address: string };
          if (options.rewriteFails === true) return Promise.resolve({ is: "retry", reason: "no rewrite" });
          return Promise.resolve({ is: "rewritten", address: complete(address) });
        },
      }),
      maps: tables(options),
      queueKey: "key",
      bootId: "boot",
      connect: milterConnector(() => undefined),
      trace: {
        call: (type, fields) => {
          this.traced.push({ type, fields });
          return Promise.resolve(
            options.traceFails === true ? { is: "failed", reason: "no trace" } : { is: "done" },
          );
        },
      },
      qmgr: { send: (_type, fields) => void this.hints.push((fields as { queueId: string }).queueId) },
      trouble: (what, error) =>
        void this.troubles.push(`${what}: ${error instanceof Error ? error.message : error}`),
    });
  }

  /** Names in incoming/ and their permission bits. */
  files(): [name: string, mode: number][] {
    return walk(`${this.queue}/incoming`).map((path) => [path, Deno.statSync(path).mode! & 0o777]);
  }

  /** The one message that was committed. */
  message(): QueuedMessage {
    const [found, ...more] = this.files();
    if (found === undefined || more.length > 0 || found[1] !== 0o700) {
      throw new Error(`incoming has ${this.files()}`);
    }
    return readQueueFile(found[0]);
  }

  [Symbol.dispose](): void {
    this.service[Symbol.dispose]();
    this.#directory?.[Symbol.dispose]();
  }
}

function walk(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) =>
    isDirectory ? walk(`${directory}/${name}`) : [`${directory}/${name}`]
  );
}

/** As append_at_myorigin and append_dot_mydomain do. */
function complete(address: string): string {
  if (!address.includes("@")) return `${address}@mx.test`;
  return address.split("@").at(-1)!.includes(".") ? address : `${address}.test`;
}

function tables({ aliases = {}, tableFails, checks }: CleanupOptions): MapLookup & LineLookup {
  return {
    findLines: (parameter, lines) => {
      if (tableFails === true) return Promise.resolve({ kind: "retry", why: "table is away" });
      const values = new Map<number, Uint8Array>();
      lines.forEach((line, index) => {
        const value = checks?.(parameter, latin1(line));
        if (value !== undefined) values.set(index, utf8(value));
      });
      return Promise.resolve({ kind: "matched", values });
    },
    find: (_parameter, _search, key): Promise<MapOutcome> => {
      if (tableFails === true) return Promise.resolve({ kind: "retry", why: "table is away" });
      const direct = aliases[key];
      if (direct !== undefined) return Promise.resolve({ kind: "found", value: direct, extension: "" });
      const [local = "", domain = ""] = key.split("@");
      const plus = local.indexOf("+");
      const short = plus < 0 ? undefined : aliases[`${local.slice(0, plus)}@${domain}`];
      if (short === undefined) return Promise.resolve({ kind: "missing" });
      return Promise.resolve({ kind: "found", value: short, extension: local.slice(plus) });
    },
  };
}

/** What a client hears. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
}

/** One exchange with cleanup. */
export class Submission {
  readonly #host: CleanupHost;
  queueId = "";
  answers: Answer[] = [];
  readonly #exchange: ServerExchange<typeof CLEANUP>;
  readonly #answered = Promise.withResolvers<void>();

  constructor(host: CleanupHost) {
    this.#host = host;
    this.#exchange = {
      state: undefined,
      onCancel: undefined,
      cancelled: false,
      reply: (type, fields) => {
        if (type === "queueId") this.queueId = (fields as { queueId: string }).queueId;
        else {
          this.answers.push(fields as unknown as Answer);
          this.#answered.resolve();
        }
      },
    };
  }

  async begin(flags = CLEANUP_EXTERNAL): Promise<void> {
    await this.#host.service.handle(this.#exchange, { is: "begin", flags });
  }

  /** Sends records as they are; the caller may wait or not. */
  send(records: Uint8Array): void | Promise<void> {
    return this.#host.service.handle(this.#exchange, { is: "records", records });
  }

  /** The client goes away. */
  cancel(): void {
    this.#exchange.onCancel?.();
  }

  async finish(): Promise<Answer> {
    await this.#host.service.handle(this.#exchange, { is: "finish" });
    await this.#answered.promise;
    return this.answers[0]!;
  }
}

/** A message for `records`. */
export interface Draft {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly local?: boolean;
  readonly fullName?: string;
  readonly attributes?: readonly (readonly [string, string])[];
  /** Records between the attributes and the recipients, as type and text. */
  readonly envelope?: readonly (readonly [number, string])[];
  /** Lines behind the Received header; a pair gives the record's type. */
  readonly lines?: readonly (string | Uint8Array | readonly [number, string])[];
  readonly received?: boolean;
  readonly ends?: boolean;
}

/** The records of a whole message. */
export function records(draft: Draft = {}): Uint8Array<ArrayBuffer> {
  const out = new ByteBuilder(64 * 1024 * 1024);
  appendRecord(out, RECORD.TIME, "1700000000 250000");
  appendAttribute(out, "rewrite_context", draft.local === true ? "local" : "remote");
  if (draft.fullName !== undefined) appendRecord(out, RECORD.FULL, draft.fullName);
  appendRecord(out, RECORD.FROM, draft.sender ?? "a@ext.test");
  for (const [name, value] of draft.attributes ?? []) appendAttribute(out, name, value);
  for (const [type, data] of draft.envelope ?? []) appendRecord(out, type, data);
  for (const recipient of draft.recipients ?? ["alice@local.test"]) {
    appendRecord(out, RECORD.RECIPIENT, recipient);
  }
  appendRecord(out, RECORD.MESSAGE, "");
  if (draft.received !== false) appendRecord(out, RECORD.NORMAL, "Received: by test");
  for (const line of draft.lines ?? []) {
    if (typeof line === "string" || line instanceof Uint8Array) appendRecord(out, RECORD.NORMAL, line);
    else appendRecord(out, (line as readonly [number, string])[0], (line as readonly [number, string])[1]);
  }
  appendRecord(out, RECORD.EXTRACTED, "");
  if (draft.ends !== false) appendRecord(out, RECORD.END, "");
  return out.copy();
}

/** Submits a message and gives cleanup's answer. */
export async function submit(host: CleanupHost, draft: Draft = {}, flags?: number): Promise<Answer> {
  const submission = new Submission(host);
  await submission.begin(flags);
  await submission.send(records(draft));
  return await submission.finish();
}

export const ACCEPTED: Answer = { status: CLEANUP_STATUS.OK, reason: "" };
