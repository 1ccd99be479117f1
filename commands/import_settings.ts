/**
 * Settings of main.cf, and those behind -o in master.cf, as settings of Postern.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { readTextFile } from "../lib/safe/file.ts";
// Utility
import { RESTRICTION_PARAMETERS } from "../lib/config/check_restrictions.ts";
import { computedDefault, type SystemFacts } from "../lib/config/defaults.ts";
import { expand, ExpandError, referencedNames } from "../lib/config/expand.ts";
import { findParameter, isParameterName, type Parameter } from "../lib/config/parameters.ts";
import { findPostfixParameter, POSTFIX_NAMES, type Refusal } from "../lib/config/postfix_parameters.ts";
import { findRow } from "../lib/config/scope.ts";
import { splitTransportParameter } from "../lib/config/transport.ts";
import { asciiLower, trimBlanks } from "../lib/vstring/ascii.ts";
// This program
import type { Fate } from "./import_report.ts";
import type { CfSetting } from "./import_source.ts";
import type { TableImport } from "./import_tables.ts";
import { type ImportedValue, importList, importRestrictions, type ValueSource } from "./import_values.ts";

/** What becomes of one setting. */
export type ImportedSetting =
  | { readonly kind: "parameter"; readonly name: string; readonly value: ImportedValue }
  | { readonly kind: "variable" }
  | { readonly kind: "left"; readonly fate: Fate; readonly why: string; readonly cure: string };

/** Old names that Postfix still takes for others. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["authorized_verp_clients", "smtpd_authorized_verp_clients"],
  ["fallback_relay", "smtp_fallback_relay"],
  ["lmtp_per_record_deadline", "lmtp_per_request_deadline"],
  ["smtp_per_record_deadline", "smtp_per_request_deadline"],
  ["smtpd_client_connection_limit_exceptions", "smtpd_client_event_limit_exceptions"],
  ["smtpd_per_record_deadline", "smtpd_per_request_deadline"],
  ["virtual_maps", "virtual_alias_maps"],
]);

/** What each of the two mail systems has for itself. */
const OWN: ReadonlyMap<string, string> = new Map([
  [
    "address_verify_map",
    "verify keeps what it knows in a file of its own, and probes again what it is asked for",
  ],
  ["config_directory", "main.toml is read from where it is"],
  ["data_directory", "caches are below the queue, and begin empty"],
  ["mail_owner", "Postern's daemons have users of their own"],
  ["max_use", "a process serves many sessions here; the default fits that"],
  [
    "queue_directory",
    "Postern has a queue of its own; `postern import --queue` takes this one's messages over",
  ],
]);

/** Largest file that holds a name, bytes. */
const NAME_FILE_LIMIT = 65_536;

/** Deepest nesting of `$name`. */
const DEPTH_LIMIT = 100;

/** Looks at settings one by one. */
export class SettingImport implements ValueSource {
  readonly tables: TableImport;
  readonly #settings: ReadonlyMap<string, CfSetting>;
  readonly #directory: string;
  readonly #facts: SystemFacts;
  readonly #transports: ReadonlySet<string>;

  /** @param transports the services of type unix that are taken over */
  constructor(
    settings: readonly CfSetting[],
    tables: TableImport,
    directory: string,
    facts: SystemFacts,
    transports: ReadonlySet<string>,
  ) {
    this.#settings = new Map(settings.map((setting) => [setting.name, setting]));
    this.tables = tables;
    this.#directory = directory;
    this.#facts = facts;
    this.#transports = transports;
  }

  /** The text of a name as Postfix has it: set, default, or nothing. */
  text(name: string): string {
    const set = this.#settings.get(name)?.text;
    if (set !== undefined) return set;
    const computed = computedDefault(name, {
      facts: this.#facts,
      directory: this.#directory,
      get: (other) => this.expand(`$${other}`),
      isSet: (other) => this.#settings.has(other),
    });
    return computed ?? findPostfixParameter(name)?.default ?? "";
  }

  expand(text: string): string {
    return this.#expandAt(text, 0);
  }

  #expandAt(text: string, depth: number): string {
    if (depth > DEPTH_LIMIT) throw new ExpandError(`Cannot expand "${text}": it refers to itself`);
    return expand(text, (name) => this.#expandAt(this.text(name), depth + 1));
  }

  restrictionClass(name: string): string | undefined {
    return this.#classes().includes(name) ? this.#settings.get(name)?.text : undefined;
  }

  #classes(): string[] {
    return this.expand("$smtpd_restriction_classes").split(/[ ,\t\n]+/).filter((name) => name !== "");
  }

  /** The restriction classes with what they stand for, as it is here. */
  restrictionClasses(): ReadonlyMap<string, string> {
    const classes = this.#classes().flatMap((name): [string, string][] => {
      const text = this.restrictionClass(name);
      return text === undefined ? [] : [[name, importRestrictions(text, this).text]];
    });
    return new Map(classes);
  }

  /** What becomes of a setting. */
  convert(setting: CfSetting): ImportedSetting {
    const name = RENAMED.get(setting.name) ?? setting.name;
    const own = OWN.get(name);
    if (own !== undefined) return { kind: "left", fate: "changed", why: own, cure: "" };
    const row = findRow(name);
    const transport = isParameterName(name) ? undefined : splitTransportParameter(name)?.transport;
    if (row !== undefined && (transport === undefined || this.#transports.has(transport))) {
      return this.#importParameter(name, row, setting.text);
    }
    if (transport !== undefined) {
      const why = `there is no service "${transport}"`;
      return { kind: "left", fate: "unsupported", why, cure: "add the service to master.toml first" };
    }
    const refusal = findPostfixParameter(name)?.refusal;
    return refusal === undefined ? { kind: "variable" } : this.#refused(name, setting.text, refusal);
  }

  #importParameter(name: string, row: Parameter, text: string): ImportedSetting {
    try {
      return { kind: "parameter", name, value: this.#value(name, row, text) };
    } catch (error) {
      if (!(error instanceof ExpandError)) throw error;
      return { kind: "left", fate: "unsupported", why: error.message, cure: "mend it in main.cf" };
    }
  }

  #value(name: string, row: Parameter, text: string): ImportedValue {
    if ((RESTRICTION_PARAMETERS as readonly string[]).includes(name)) return importRestrictions(text, this);
    if (row.type === "list" || row.type === "tables") return importList(text, this);
    if (row.type === "boolean") return plain(asciiLower(text));
    if (row.type === "templates" && text !== "") {
      const path = this.tables.file(this.expand(text))?.path;
      if (path !== undefined && path !== text) return { ...plain(path), notes: [`${text} is ${path} now`] };
    }
    if (name === "smtpd_sasl_path" && this.expand("$smtpd_sasl_type") === "dovecot") {
      return this.#socket(text);
    }
    if (name === "myorigin" && text.startsWith("/")) return firstLine(text);
    if (name === "default_database_type" && text !== "texthash") {
      return { ...plain("texthash"), notes: [`${text} is texthash now`] };
    }
    return plain(text);
  }

  /** A socket that Dovecot made below Postfix's queue directory stays where it is. */
  #socket(text: string): ImportedValue {
    const path = this.expand(text);
    if (path.startsWith("/") || path.startsWith("inet:")) return plain(text);
    const whole = `${this.expand("$queue_directory")}/${path}`;
    return { ...plain(whole), notes: [`${text} is ${whole} now: net_owner must be able to connect to it`] };
  }

  /** A parameter that Postern does not have: no loss when it says what Postern does anyway. */
  #refused(name: string, text: string, { why, cure, harmless, fixed }: Refusal): ImportedSetting {
    const isOff = fixed === undefined && ["", "no", "none"].includes(asciiLower(text));
    if (text === findPostfixParameter(name)!.default || isOff) {
      return {
        kind: "left",
        fate: "unneeded",
        why: `it says what Postern does (${text || "nothing"})`,
        cure: "",
      };
    }
    if (harmless === true) return { kind: "left", fate: "unneeded", why, cure: "" };
    return { kind: "left", fate: "unsupported", why, cure };
  }

  /** Defaults of Postfix that depend on compatibility_level and are not ours at this configuration's level. */
  levelDefaults(): readonly CfSetting[] {
    const found: CfSetting[] = [];
    const level = this.expand("$compatibility_level");
    for (const name of POSTFIX_NAMES) {
      const text = findPostfixParameter(name)!.default;
      if (!text.includes("$compatibility_level") || !isParameterName(name) || this.#settings.has(name)) {
        continue;
      }
      // Only the level is decided now: other names stay as they are.
      const theirs = expand(text, (other) => other === "compatibility_level" ? level : `$${other}`);
      if (theirs !== findParameter(name)!.default) found.push({ name, text: theirs, line: 0 });
    }
    return found;
  }

  /** The variables that the texts refer to, with those that they refer to in turn, as Postfix has them. */
  variables(texts: Iterable<string>): Map<string, string> {
    const variables = new Map<string, string>();
    const known = new Set(["service_name", "process_name"]);
    const open = [...texts];
    for (let text = open.pop(); text !== undefined; text = open.pop()) {
      for (const name of referencedNames(text)) {
        if (known.has(name) || variables.has(name) || findRow(name) !== undefined) continue;
        variables.set(name, this.text(name));
        open.push(this.text(name));
      }
    }
    return variables;
  }
}

/** Debian's Postfix takes a file name in myorigin for the first line of that file. */
function firstLine(path: string): ImportedValue {
  try {
    const [line = ""] = readTextFile(path, NAME_FILE_LIMIT).split("\n");
    return { ...plain(trimBlanks(line)), notes: [`the first line of ${path} is written out`] };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { ...plain(path), losses: [{ what: error.message, cure: "set it in main.toml" }] };
  }
}

function plain(text: string): ImportedValue {
  return { text, notes: [], losses: [] };
}
