/**
 * What changes in mail on its way out: addresses by generic(5) maps, headers and body lines by the restricted
 * header_checks(5) of the clients. Where none of it is configured nothing of this is there.
 *
 * @module
 */
import { asciiLower, LF } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import type { Settings } from "../config/parameters.ts";
import type { Logger } from "../log/log.ts";
import { quoteAddress, unquoteAddress } from "../mail/address.ts";
import { mapAddress } from "../mail/address_list.ts";
import { parseContentAction, TEXT_ACTIONS } from "../mail/content_action.ts";
import { addressesOfField, replaceAddresses, roleOfHeader } from "../mail/header_rewrite.ts";
import {
  type HeaderClass,
  headerName,
  type MimeFault,
  type MimeHandler,
  type MimeOptions,
  MimeReader,
} from "../mail/mime_structure.ts";
import {
  type CheckClass,
  type CheckRules,
  type ContentEvent,
  lookUpEvents,
  parameterOf,
} from "../proto/content_checks.ts";
import type { LineLookup, MapLookup } from "../proto/proxymap_client.ts";
import type { RewriteClient } from "../proto/rewrite_client.ts";
import type { Dialect } from "./client_policy.ts";
import type { Emit } from "./mime_downgrade.ts";

/** Endings of the parameters that name tables; smtp_* and lmtp_* exist of each. */
const TABLES = [
  "body_checks",
  "generic_maps",
  "header_checks",
  "mime_header_checks",
  "nested_header_checks",
] as const;
type TableParameter = `${Dialect}_${(typeof TABLES)[number]}`;

/** Parameters of one program that are read here. */
export type RewriteSettings<D extends Dialect> =
  & Settings<`${D}_${(typeof TABLES)[number]}`>
  & Settings<
    | "header_address_token_limit"
    | "header_size_limit"
    | "mime_boundary_length_limit"
    | "mime_nesting_limit"
    | "propagate_unmatched_extensions"
  >;

/** Who knows what the tables hold. */
export interface RewriteServices {
  readonly maps: MapLookup & LineLookup;
  readonly rewrite: RewriteClient;
}

/** A table could not be asked: the delivery waits. */
export class LookupTroubleError extends Error {
  override name = "LookupTroubleError";
}

/** The rules of one program. */
export class OutgoingRules implements CheckRules {
  readonly checks: ReadonlyMap<CheckClass, string>;
  /** Postfix's clients look at the whole body. */
  readonly bodyCheckSize = Infinity;
  readonly mime: MimeOptions;
  readonly tokenLimit: number;
  readonly services: RewriteServices;
  readonly #generic: string | undefined;
  readonly #propagate: boolean;
  readonly #warn: (text: string) => void;

  private constructor(
    dialect: Dialect,
    tables: ReadonlySet<string>,
    settings: RewriteSettings<Dialect>,
    services: RewriteServices,
    warn: (text: string) => void,
  ) {
    const classes: [CheckClass, TableParameter][] = [
      ["primary", `${dialect}_header_checks`],
      ["multipart", `${dialect}_mime_header_checks`],
      ["nested", `${dialect}_nested_header_checks`],
      ["body", `${dialect}_body_checks`],
    ];
    this.checks = new Map(classes.filter(([, parameter]) => tables.has(parameter)));
    const generic = `${dialect}_generic_maps`;
    this.#generic = tables.has(generic) ? generic : undefined;
    this.mime = {
      headerLimit: settings.header_size_limit,
      parts: true,
      nestingLimit: settings.mime_nesting_limit,
      boundaryLimit: settings.mime_boundary_length_limit,
      faults: new Set(),
    };
    this.tokenLimit = settings.header_address_token_limit;
    this.#propagate = settings.propagate_unmatched_extensions.includes("generic");
    this.services = services;
    this.#warn = warn;
  }

  /** The rules, or undefined when nothing changes. `services` is called only where there are rules. */
  static from<D extends Dialect>(
    dialect: D,
    settings: RewriteSettings<D>,
    services: () => RewriteServices,
    warn: (text: string) => void,
  ): OutgoingRules | undefined {
    const values = settings as unknown as RewriteSettings<Dialect>;
    const tables = new Set<string>();
    for (const table of TABLES) {
      const parameter = `${dialect}_${table}` as const;
      if (values[parameter].length > 0) tables.add(parameter);
    }
    return tables.size === 0 ? undefined : new OutgoingRules(dialect, tables, values, services(), warn);
  }

  /** True when addresses are replaced. */
  get mapsAddresses(): boolean {
    return this.#generic !== undefined;
  }

  /**
   * The address as others see it, internal form both.
   *
   * @throws LookupTroubleError
   */
  async map(address: string): Promise<string> {
    if (this.#generic === undefined || address === "") return address;
    const found = await this.services.maps.find(this.#generic, "address", address);
    if (found.kind === "missing") return address;
    if (found.kind === "retry") throw new LookupTroubleError(`${this.#generic} lookup problem: ${found.why}`);
    const [target, ...more] = mapAddress(address, found.value, found.extension, this.#propagate);
    if (target === undefined) {
      throw new LookupTroubleError(`${this.#generic} has no address for ${printable(address)}`);
    }
    if (more.length > 0) this.#warn(`multi-valued ${this.#generic} entry for ${printable(address)}`);
    const complete = await this.services.rewrite.rewriteInternal("local", target);
    if (complete.kind === "retry") throw new LookupTroubleError(complete.why);
    return complete.address;
  }
}

/** Characters of a header or line that the log shows. */
const CONTENT_SHOWN = 60;
/** A piece of the message that is gathered before the tables are asked, bytes, and lines. */
const PIECE_SIZE = 32 * 1024;
const PIECE_EVENTS = 2000;

/** Changes one message's text. Made for one sending of it. */
export class OutgoingText implements MimeHandler {
  readonly #rules: OutgoingRules;
  readonly #queueId: string;
  readonly #log: Logger;
  readonly #emit: Emit;
  readonly #reader: MimeReader;
  #events: ContentEvent[] = [];
  #size = 0;

  constructor(rules: OutgoingRules, queueId: string, log: Logger, emit: Emit) {
    this.#rules = rules;
    this.#queueId = queueId;
    this.#log = log;
    this.#emit = emit;
    this.#reader = new MimeReader(rules.mime, this);
  }

  /** Takes a piece of a line. */
  piece(data: Uint8Array, endsLine: boolean): void {
    this.#size += data.length;
    this.#reader.piece(data, endsLine);
  }

  /** True when so much was gathered that it is time for `flush`. */
  get isFull(): boolean {
    return this.#size >= PIECE_SIZE || this.#events.length >= PIECE_EVENTS;
  }

  /** Ends the message; `flush` has to follow. */
  finish(): void {
    this.#reader.finish();
  }

  /**
   * Asks about what was gathered and passes it on.
   *
   * @throws LookupTroubleError
   */
  async flush(): Promise<void> {
    const events = this.#events;
    this.#events = [];
    this.#size = 0;
    const found = await lookUpEvents(events, this.#rules, this.#rules.services.maps);
    if (found.kind === "retry") throw new LookupTroubleError(found.why);
    for (const [index, event] of events.entries()) await this.#pass(event, found.values.get(index));
  }

  async #pass(event: ContentEvent, value: Uint8Array | undefined): Promise<void> {
    switch (event.kind) {
      case "headerEnd":
        if (!event.separated) this.#emit(NOTHING, true);
        return;
      case "header": {
        const field = this.#check(event, event.field, value);
        if (field === undefined) return;
        this.#putField(event.where === "primary" ? await this.#mapField(field) : field);
        return;
      }
      case "line": {
        const line = this.#check(event, event.data, value);
        if (line !== undefined) this.#emit(line, event.endsLine);
        return;
      }
      default:
        event satisfies never;
    }
  }

  /** What the tables leave of a header or line; undefined when it goes. What goes before it is passed on here. */
  #check(event: ContentEvent, content: Uint8Array, value: Uint8Array | undefined): Uint8Array | undefined {
    if (value === undefined) return content;
    const header = event.kind === "header";
    const action = parseContentAction(value, TEXT_ACTIONS, header, parameterOf(event, this.#rules)!);
    if (action.kind === "bad") {
      this.#log.warning(`${this.#queueId}: ${printable(action.why)}`);
      return content;
    }
    const { name } = action;
    if (name !== "DUNNO" && name !== "OK" && name !== "IGNORE") {
      const where = header ? "header" : "body";
      const label = name === "WARN" ? "warning" : asciiLower(name);
      const text = action.text === "" ? "" : `: ${printable(action.text)}`;
      this.#log.info(
        `${this.#queueId}: ${label}: ${where} ${printable(content.subarray(0, CONTENT_SHOWN))}${text}`,
      );
    }
    if (name === "IGNORE" || name === "STRIP") return undefined;
    if (name === "PREPEND") this.#putField(action.bytes);
    return name === "REPLACE" ? action.bytes : content;
  }

  async #mapField(field: Uint8Array): Promise<Uint8Array> {
    const rules = this.#rules;
    if (!rules.mapsAddresses || roleOfHeader(headerName(field)) === undefined) return field;
    const found = addressesOfField(field, rules.tokenLimit);
    const texts: string[] = [];
    for (const { address } of found) {
      const internal = unquoteAddress(address);
      const mapped = await rules.map(internal);
      texts.push(mapped === internal ? address : quoteAddress(mapped));
    }
    return replaceAddresses(field, found, texts);
  }

  #putField(field: Uint8Array): void {
    let start = 0;
    for (let end = field.indexOf(LF); end >= 0; end = field.indexOf(LF, start)) {
      this.#emit(field.subarray(start, end), true);
      start = end + 1;
    }
    this.#emit(field.subarray(start), true);
  }

  // --- what the reader finds

  header(field: Uint8Array, where: HeaderClass): void {
    this.#events.push({ kind: "header", field, where });
  }

  headerEnd(separated: boolean): void {
    this.#events.push({ kind: "headerEnd", separated });
  }

  body(data: Uint8Array, endsLine: boolean, offset: number): void {
    // The file's window moves on before this is looked at.
    this.#events.push({ kind: "line", data: data.slice(), endsLine, offset });
  }

  fault(_fault: MimeFault): void {
    // None is asked for.
  }
}

const NOTHING = new Uint8Array(0);
