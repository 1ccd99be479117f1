/**
 * The policy protocol (SMTPD_POLICY_README): requests of lines `name=value` and an empty line, each answered by
 * `action=...` and an empty line, in their order.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { InputBuffer } from "../../lib/stream/input_buffer.ts";

/** Longest line, bytes, and most lines of a request. */
const LINE_LIMIT = 8192;
const LINES_LIMIT = 200;

/** A request's attributes. */
export type PolicyRequest = ReadonlyMap<string, string>;

/** One connection. */
export class PolicySession {
  readonly #channel: Channel;
  readonly #judge: (request: PolicyRequest) => Promise<string>;
  readonly #log: Pick<Logger, "warning">;
  readonly #trouble: (error: unknown) => void;
  readonly #done: () => void;
  readonly #input = new InputBuffer();
  #request = new Map<string, string>();
  #lines = 0;
  #busy = false;
  #ended = false;
  #over = false;

  constructor(
    channel: Channel,
    judge: (request: PolicyRequest) => Promise<string>,
    log: Pick<Logger, "warning">,
    trouble: (error: unknown) => void,
    done: () => void,
  ) {
    this.#channel = channel;
    this.#judge = judge;
    this.#log = log;
    this.#trouble = trouble;
    this.#done = done;
    channel.start({
      data: (bytes) => {
        // One request is answered before the next is read.
        this.#input.push(bytes.slice());
        if (this.#busy) channel.pause();
        else this.#run();
      },
      ended: () => {
        this.#ended = true;
        if (!this.#busy) this.#finish();
      },
      closed: () => this.#finish(),
    });
  }

  #run(): void {
    while (!this.#busy && !this.#over) {
      const line = this.#input.line(LINE_LIMIT);
      if (line.kind === "more") return;
      if (line.kind === "tooLong" || ++this.#lines > LINES_LIMIT) return this.#refuse("request is too long");
      if (line.bytes.length === 0) return this.#answer();
      const text = decodeText(line.bytes);
      const equals = text.indexOf("=");
      if (equals < 1) return this.#refuse("malformed request");
      this.#request.set(text.slice(0, equals), text.slice(equals + 1));
    }
  }

  /** What is no request is not answered: the client tries again, and does by itself what its configuration says. */
  #refuse(why: string): void {
    this.#log.warning(why);
    this.#finish();
  }

  #answer(): void {
    const request = this.#request;
    this.#request = new Map();
    this.#lines = 0;
    if (request.get("request") !== "smtpd_access_policy") return this.#refuse("unknown request");
    this.#busy = true;
    this.#judge(request).then((action) => {
      this.#busy = false;
      if (this.#over) return;
      this.#channel.write(encodeText(`action=${action}\n\n`));
      if (this.#ended && this.#input.length === 0) return this.#finish();
      this.#channel.resume();
      this.#run();
    }, (error) => {
      this.#trouble(error);
      this.#finish();
    });
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#channel.finish();
    this.#done();
  }
}
