/**
 * A configuration of Postfix as one of Postern: reads main.cf and master.cf, makes main.toml and master.toml, leaves out
 * what Postern would refuse, and tells of each setting what became of it.
 *
 * @module
 */
// Utility
import { MAIN_FILE, MASTER_FILE } from "../lib/config/configuration.ts";
import type { SystemFacts } from "../lib/config/defaults.ts";
import type { Problem } from "../lib/config/problem.ts";
import { findRow } from "../lib/config/scope.ts";
import { findKeys } from "../lib/config/toml_lines.ts";
import { parameterToToml, quoteToml, tomlKey } from "../lib/config/toml_text.ts";
import { isParameterName } from "../lib/config/parameters.ts";
import { printable } from "../lib/vstring/printable.ts";
// This program
import { ImportReport } from "./import_report.ts";
import { type PlannedService, planServices } from "./import_services.ts";
import { SettingImport } from "./import_settings.ts";
import { type CfFault, type CfSetting, type MainCf, type MasterCf } from "./import_source.ts";
import { type CopiedFile, TableImport } from "./import_tables.ts";
import { serviceToToml } from "./service_text.ts";

/** What is read. */
export interface PostfixFiles {
  /** Absolute path of the directory, without links. */
  readonly directory: string;
  readonly main: MainCf;
  readonly master: MasterCf;
  readonly facts: SystemFacts;
}

/** What comes out. */
export interface ImportedConfiguration {
  readonly main: string;
  readonly master: string;
  readonly copies: readonly CopiedFile[];
  readonly report: ImportReport;
}

/** Says what is wrong with the two texts and the files beside them, as the loader does. */
export type CheckTexts = (main: string, master: string, copies: readonly CopiedFile[]) => readonly Problem[];

/** Makes the configuration. */
export function importConfiguration(files: PostfixFiles, check: CheckTexts): ImportedConfiguration {
  const made = new ConfigurationImport(files);
  made.take();
  made.leaveOutWhatIsRefused(check);
  made.tellVariables();
  return {
    main: made.mainText(),
    master: made.masterText(),
    copies: made.tables.copies,
    report: made.report,
  };
}

/** A setting on its way into main.toml or into a service. */
interface Carried {
  readonly text: string;
  /** Where it comes from, and under which name the report has it. */
  readonly place: string;
  readonly subject: string;
}

/** A service on its way into master.toml. */
interface CarriedService {
  readonly planned: PlannedService;
  readonly parameters: Map<string, Carried>;
}

const MAIN_CF = "main.cf";
const MASTER_CF = "master.cf";

/** Most rounds of leaving out what is refused: each takes at least one setting out. */
const ROUND_LIMIT = 1000;

/** Options that mean that nothing may go in the clear. */
const TLS_DEMANDS: readonly (readonly [string, string])[] = [
  ["smtp_tls_wrappermode", "yes"],
  ["smtp_tls_security_level", "encrypt"],
];

class ConfigurationImport {
  readonly report = new ImportReport();
  readonly tables: TableImport;
  readonly #files: PostfixFiles;
  readonly #parameters = new Map<string, Carried>();
  readonly #services: CarriedService[] = [];
  readonly #settings: SettingImport;
  readonly #planned: readonly PlannedService[];
  /** Lines for what is left out, for main.toml. */
  readonly #leftOut: string[] = [];

  constructor(files: PostfixFiles) {
    this.#files = files;
    this.tables = new TableImport(files.directory);
    this.#planned = planServices(files.master, MASTER_CF, this.report)
      .filter((service) => !this.#lacksTls(service));
    const transports = new Set(this.#planned.filter(({ type }) => type === "unix").map(({ name }) => name));
    const { main, directory, facts } = files;
    this.#settings = new SettingImport(main.settings, this.tables, directory, facts, transports);
  }

  /** Takes what can be taken. */
  take(): void {
    const { main, master } = this.#files;
    this.#tellFaults(MAIN_CF, main.faults);
    this.#tellFaults(MASTER_CF, master.faults);
    for (const { line, name } of main.overridden) {
      this.report.add("unneeded", `${MAIN_CF}:${line}`, name, "a later line sets it again");
    }
    for (const setting of main.settings) this.#takeSetting(setting);
    for (const setting of this.#settings.levelDefaults()) this.#takeDefault(setting);
    for (const planned of this.#planned) this.#takeService(planned);
  }

  #tellFaults(file: string, faults: readonly CfFault[]): void {
    for (const { line, why } of faults) {
      this.report.add("unsupported", `${file}:${line}`, "line", why, "mend it");
    }
  }

  #takeSetting(setting: CfSetting): void {
    const place = `${MAIN_CF}:${setting.line}`;
    const name = this.#takeInto(this.#parameters, setting, place, setting.name);
    if (name === undefined && !this.#isVariable(setting)) {
      this.#leftOut.push(printable(`# ${setting.name} = ${setting.text}`));
    }
  }

  #isVariable(setting: CfSetting): boolean {
    return this.#settings.convert(setting).kind === "variable";
  }

  /** Puts a setting where it belongs and reports it; the name that it has now, or undefined. */
  #takeInto(
    into: Map<string, Carried>,
    setting: CfSetting,
    place: string,
    subject: string,
  ): string | undefined {
    const imported = this.#settings.convert(setting);
    if (imported.kind === "left") {
      this.report.add(imported.fate, place, subject, imported.why, imported.cure);
      return undefined;
    }
    if (imported.kind === "variable") return undefined;
    const { name, value } = imported;
    into.set(name, { text: value.text, place, subject });
    const notes = name === setting.name ? value.notes : [`it is ${name} now`, ...value.notes];
    if (notes.length === 0) this.report.add("carried", place, subject);
    else this.report.add("changed", place, subject, notes.join("; "));
    for (const { what, cure } of value.losses) this.report.add("unsupported", place, subject, what, cure);
    return name;
  }

  #takeDefault({ name, text }: CfSetting): void {
    const place = MAIN_CF;
    this.#parameters.set(name, { text, place, subject: name });
    const level = this.#settings.expand("$compatibility_level");
    const why = `set to ${text || "nothing"}, Postfix's default at compatibility_level ${level}`;
    this.report.add("changed", place, name, why);
  }

  /** True for a service that demands TLS: without it, it would take in the clear what was never meant to be. */
  #lacksTls({ source, name, type }: PlannedService): boolean {
    const demand = source?.options.find((option) =>
      !isParameterName(option.name) &&
      TLS_DEMANDS.some(([parameter, value]) => option.name === parameter && option.text === value)
    );
    if (demand === undefined) return false;
    const place = `${MASTER_CF}:${source!.line}`;
    const why = `it demands TLS (${demand.name}), and Postern has none: the service is left out`;
    this.report.add(
      "unsupported",
      place,
      `${name}/${type}`,
      why,
      "put a TLS proxy in front of a port of its own",
    );
    return true;
  }

  #takeService(planned: PlannedService): void {
    const parameters = new Map<string, Carried>();
    this.#services.push({ planned, parameters });
    const { source, name, type } = planned;
    if (source === undefined) return;
    const place = `${MASTER_CF}:${source.line}`;
    const subject = `${name}/${type}`;
    const notes: string[] = [];
    if (source.name !== name) notes.push(`its name is ${name} now`);
    if (source.command !== planned.command) notes.push(`its daemon is ${planned.command} now`);
    this.#takeLimit(planned, source.processLimit, parameters, notes);
    this.report.add(notes.length === 0 ? "carried" : "changed", place, subject, notes.join("; "));
    if (source.chroot !== "n" && source.chroot !== "-") {
      this.report.add(
        "changed",
        MASTER_CF,
        "chroot",
        "each daemon has its own permissions instead; see `postern sandbox`",
      );
    }
    for (const word of [...source.switches, ...planned.arguments === undefined ? source.args : []]) {
      this.report.add(
        "unsupported",
        place,
        subject,
        `argument "${word}"`,
        "daemons take no arguments but -o",
      );
    }
    for (const option of source.options) this.#takeOption(option, place, subject, parameters);
  }

  #takeOption(option: CfSetting, place: string, subject: string, parameters: Map<string, Carried>): void {
    const full = `${subject} -o ${option.name}`;
    const name = this.#takeInto(parameters, option, place, full);
    if (name === undefined && this.#isVariable(option)) {
      this.report.add(
        "unsupported",
        place,
        full,
        "a service cannot have a variable of its own",
        "set what refers to it",
      );
    }
  }

  /** A limit of processes is one of sessions or deliveries here, as one process has many. */
  #takeLimit(
    planned: PlannedService,
    limit: string,
    parameters: Map<string, Carried>,
    notes: string[],
  ): void {
    if (!/^[1-9][0-9]*$/.test(limit)) return;
    const place = `${MASTER_CF}:${planned.source!.line}`;
    const subject = `${planned.name}/${planned.type}`;
    if (planned.command === "smtpd") {
      parameters.set("smtpd_session_limit", { text: limit, place, subject });
      notes.push(`its limit of ${limit} processes is smtpd_session_limit now`);
    } else if (planned.command === "smtp" || planned.command === "lmtp") {
      const name = `${planned.name}_transport_concurrency_limit`;
      this.#parameters.set(name, { text: limit, place, subject });
      notes.push(`its limit of ${limit} processes is ${name} now`);
    }
  }

  /** Takes out, setting by setting, what the loader refuses. */
  leaveOutWhatIsRefused(check: CheckTexts): void {
    for (let round = 0; round < ROUND_LIMIT; round++) {
      const main = this.mainText();
      const master = this.masterText();
      const problems = check(main, master, this.tables.copies).filter(({ severity }) => severity === "error");
      if (!problems.some((problem) => this.#leaveOut(problem, main, master))) return;
    }
  }

  /** Takes the setting out that a problem is about; false when it is about none. */
  #leaveOut(problem: Problem, main: string, master: string): boolean {
    const inMain = problem.file.endsWith(`/${MAIN_FILE}`);
    const inMaster = problem.file.endsWith(`/${MASTER_FILE}`);
    if (inMain) {
      for (const [name, mark] of findKeys(main)) {
        if (mark.line === problem.line && this.#drop(this.#parameters, name, problem)) return true;
      }
    }
    if (!inMaster) return false;
    for (const [path, mark] of findKeys(master)) {
      const [, index, , name] = path.split(".");
      const service = this.#services[Number(index)];
      if (mark.line !== problem.line || name === undefined || service === undefined) continue;
      if (this.#drop(service.parameters, name, problem)) return true;
    }
    return false;
  }

  #drop(from: Map<string, Carried>, name: string, problem: Problem): boolean {
    const carried = from.get(name);
    if (carried === undefined || !problem.text.startsWith(`"${name}"`)) return false;
    from.delete(name);
    this.report.revoke(
      carried.place,
      carried.subject,
      problem.text,
      problem.cure ?? "set it anew in main.toml",
    );
    this.#leftOut.push(printable(`# ${name} = ${carried.text}`));
    return true;
  }

  /** main.toml. */
  mainText(): string {
    const lines = [`# Made by \`postern import ${this.#files.directory}\` of Postfix's main.cf.`, ""];
    for (const [name, { text }] of this.#parameters) {
      lines.push(`${tomlKey(name)} = ${parameterToToml(findRow(name)!, text)}`);
    }
    if (this.#leftOut.length > 0) {
      lines.push("", "# Left out: the report of the import says why.", ...this.#leftOut);
    }
    const variables = this.#variables();
    if (variables.size > 0) lines.push("", "[variables]");
    for (const [name, text] of variables) lines.push(`${tomlKey(name)} = ${quoteToml(text)}`);
    return `${lines.join("\n")}\n`;
  }

  /** The variables that something refers to. */
  #variables(): ReadonlyMap<string, string> {
    const texts = [...this.#parameters.values()].map(({ text }) => text);
    for (const { parameters } of this.#services) for (const { text } of parameters.values()) texts.push(text);
    const classes = this.#parameters.has("smtpd_restriction_classes")
      ? this.#settings.restrictionClasses()
      : new Map<string, string>();
    return new Map([...this.#settings.variables([...texts, ...classes.values()]), ...classes]);
  }

  /** Reports the names of the administrator's own, once it is known which are used. */
  tellVariables(): void {
    const used = this.#variables();
    const set = new Map(this.#files.main.settings.map((setting) => [setting.name, setting]));
    for (const name of used.keys()) {
      const line = set.get(name)?.line;
      if (line === undefined) {
        this.report.add("changed", MAIN_CF, name, "set in [variables], as a value refers to it");
      } else this.report.add("changed", `${MAIN_CF}:${line}`, name, "set in [variables]");
    }
    for (const setting of set.values()) {
      if (used.has(setting.name) || !this.#isVariable(setting)) continue;
      this.report.add(
        "unneeded",
        `${MAIN_CF}:${setting.line}`,
        setting.name,
        "no value refers to it any more",
      );
    }
  }

  /** master.toml. */
  masterText(): string {
    const blocks = this.#services.map(({ planned, parameters }) =>
      serviceToToml({
        ...planned,
        parameters: new Map([...parameters].map(([name, { text }]) => [name, text])),
      })
    );
    return `# Made by \`postern import ${this.#files.directory}\` of Postfix's master.cf.\n\n${
      blocks.join("\n")
    }`;
  }
}
