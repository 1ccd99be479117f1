/** A bounce service with a queue of its own and a cleanup that keeps what it gets. Not a test itself. @module */
import { BounceService, type BounceSettings } from "../../../daemons/bounce/bounce_service.ts";
import type { LogQueue } from "../../../daemons/bounce/bounce_logs.ts";
import { BUILT_IN_TEMPLATES, expandTemplates } from "../../../lib/config/bounce_templates.ts";
import type { RequestValues } from "../../../lib/ipc/protocol.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { BOUNCE, CLEANUP } from "../../../lib/proto/protocols.ts";
import { KeepingCleanup, type MessageParts, queueFile, type TakenMessage } from "../../support/messages.ts";
import { Served } from "../../support/served.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

export const ID = "4352820C1AA";

type Append = RequestValues<typeof BOUNCE, "append">;
type Flush = RequestValues<typeof BOUNCE, "flush">;

const OUTCOME: Append = {
  queueId: ID,
  offset: 100,
  recipient: "x@bounce.test",
  originalRecipient: "",
  dsnOriginalRecipient: "",
  notify: 0,
  result: "bounced",
  status: "5.1.1",
  action: "failed",
  reason: "unknown user",
  diagnosticType: "",
  diagnosticText: "",
  remoteMta: "",
};

/** Values of the names in the built-in texts. */
function templateValue(name: string): string {
  return name === "myhostname" ? "oracle.example.test" : name === "delay_warning_time_hours" ? "0" : "5";
}

const SETTINGS: Omit<BounceSettings, "queue_directory"> = {
  "2bounce_notice_recipient": "postmaster",
  backwards_bounce_logfile_compatibility: true,
  bounce_notice_recipient: "postmaster",
  bounce_size_limit: 50_000,
  bounce_template_file: expandTemplates(BUILT_IN_TEMPLATES, templateValue),
  delay_notice_recipient: "postmaster",
  double_bounce_sender: "double-bounce",
  enable_threaded_bounces: false,
  hash_queue_depth: 1,
  hash_queue_names: ["deferred", "defer"],
  header_from_format: "standard",
  internal_mail_filter_classes: [],
  line_length_limit: 2048,
  mail_name: "Postfix",
  maximal_queue_lifetime: 5 * 86400,
  myhostname: "oracle.example.test",
  myorigin: "oracle.example.test",
  notify_classes: ["resource", "software"],
  smtputf8_autodetect_classes: ["sendmail", "verify"],
  smtputf8_enable: true,
};

/** A log whose lines are kept. */
export class KeptLog implements Logger {
  readonly lines: string[] = [];
  readonly info = (text: string): void => void this.lines.push(text);
  readonly warning = (text: string): void => void this.lines.push(`warning: ${text}`);
  readonly error = (text: string): void => void this.lines.push(`error: ${text}`);
  readonly debug = (): void => {};
  readonly flush = (): void => {};
}

/** The service with its surroundings. */
export class BounceBench implements AsyncDisposable {
  readonly cleanup: KeepingCleanup;
  readonly log: KeptLog;
  readonly #directory: TemporaryDirectory;
  readonly #cleanupService: Served<typeof CLEANUP>;
  readonly #service: Served<typeof BOUNCE>;

  private constructor(
    directory: TemporaryDirectory,
    cleanup: KeepingCleanup,
    log: KeptLog,
    cleanupService: Served<typeof CLEANUP>,
    service: Served<typeof BOUNCE>,
  ) {
    this.#directory = directory;
    this.cleanup = cleanup;
    this.log = log;
    this.#cleanupService = cleanupService;
    this.#service = service;
  }

  static async start(
    queue: LogQueue = "bounce",
    changes: Partial<BounceSettings> = {},
  ): Promise<BounceBench> {
    const directory = new TemporaryDirectory();
    for (const name of ["active", "deferred", "bounce", "defer", "trace"]) Deno.mkdirSync(directory.at(name));
    const cleanup = new KeepingCleanup();
    const log = new KeptLog();
    const cleanupService = await Served.start(CLEANUP, cleanup.handler);
    const settings = { ...SETTINGS, queue_directory: directory.path, ...changes };
    const service = new BounceService(queue, settings, cleanupService.client, log);
    return new BounceBench(
      directory,
      cleanup,
      log,
      cleanupService,
      await Served.start(BOUNCE, service.handle),
    );
  }

  path(name: string): string {
    return this.#directory.at(name);
  }

  get troubles(): readonly string[] {
    return this.#service.troubles;
  }

  /** Puts a message into the active queue. */
  message(parts: MessageParts = {}): void {
    this.file(queueFile(parts));
  }

  file(bytes: Uint8Array): void {
    Deno.writeFileSync(this.path(`active/${ID}`), bytes);
    Deno.chmodSync(this.path(`active/${ID}`), 0o700);
  }

  /** Appends an outcome; the reason why it failed, or an empty string. */
  async append(changes: Partial<Append> = {}): Promise<string> {
    const reply = await this.#service.client.call("append", { ...OUTCOME, ...changes });
    return reply.is === "failed" ? reply.reason : "";
  }

  /** Has one failure reported to an address; the reason why that failed, or an empty string. */
  async returnOne(sender: string, changes: Partial<Append> = {}): Promise<string> {
    const message = { queueName: "active", encoding: "", smtputf8: false, envelopeId: "", ret: 0 } as const;
    const reply = await this.#service.client.call("returnOne", {
      ...message,
      sender,
      ...OUTCOME,
      ...changes,
    });
    return reply.is === "failed" ? reply.reason : "";
  }

  /** Asks for the report; the reason why it failed, or an empty string. */
  async flush(changes: Partial<Flush> = {}): Promise<string> {
    const reply = await this.#service.client.call("flush", {
      queueName: "active",
      queueId: ID,
      encoding: "",
      smtputf8: false,
      sender: "sender@box.test",
      envelopeId: "",
      ret: 0,
      report: "failure",
      verp: "",
      ...changes,
    });
    return reply.is === "failed" ? reply.reason : "";
  }

  async drop(queueId: string): Promise<string> {
    const reply = await this.#service.client.call("drop", { queueId });
    return reply.is === "failed" ? reply.reason : "";
  }

  /** The only message that cleanup has got. */
  get sent(): TakenMessage {
    if (this.cleanup.messages.length !== 1) {
      throw new Error(`cleanup got ${this.cleanup.messages.length} messages`);
    }
    return this.cleanup.messages[0]!;
  }

  exists(name: string): boolean {
    try {
      Deno.lstatSync(this.path(name));
      return true;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service[Symbol.asyncDispose]();
    await this.#cleanupService[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}
