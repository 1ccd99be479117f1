/**
 * The parameters' part of the manual: who reads which, defaults as main.toml would have them, docs/parameters.md.
 *
 * @module
 */
import { SERVICES } from "../daemons/services.ts";
import {
  findParameter,
  type Parameter,
  PARAMETER_NAMES,
  type ParameterName,
} from "../lib/config/parameters.ts";
import { splitTransportParameter, TRANSPORT_PARAMETERS } from "../lib/config/transport.ts";
import { splitList } from "../lib/config/values.ts";
import { escapeAngles } from "./manual_doc.ts";
import { codeBelow, codeOf, importsOf, type Program, wordsOf } from "./manual_sources.ts";

/** A parameter and the programs that read it. */
export interface ParameterUse {
  readonly name: ParameterName;
  readonly row: Parameter;
  /** Daemons that declare it, master and commands whose code has it; none when nothing makes use of it. */
  readonly users: readonly string[];
}

/** Commands' modules that stand for no program of their own. */
const MASTER_FOLDERS = ["daemons/master", "lib/server"];

/** Programs that write a configuration instead of reading one. */
const OWN_CONFIGURATION: readonly string[] = ["trial", "crash-states"];

/** Finds the users of every parameter. */
export function parameterUses(root: string, programs: readonly Program[]): ParameterUse[] {
  const everywhere = wordsOf(
    ["daemons", "lib", "commands"].map((folder) => codeBelow(root, folder)).join("\n"),
  );
  const readers = [
    { name: "master", words: masterWords(root) },
    ...programs.filter(({ name }) => !OWN_CONFIGURATION.includes(name)).map(({ name, module }) => ({
      // A daemon may have the name of a program.
      name: SERVICES.has(name) ? `postern ${name}` : name,
      words: wordsOf([codeOf(`${root}/${module}`), ...importsOf(root, module)].join("\n")),
    })),
  ];
  return PARAMETER_NAMES.map((name) => {
    const row = findParameter(name)!;
    if (!isRead(name, everywhere)) return { name, row, users: [] };
    const daemons = [...SERVICES.values()].filter((service) => declares(service.parameters, name));
    const others = readers.filter(({ words }) => words.has(name));
    return { name, row, users: [...daemons.map(({ command }) => command), ...others.map((one) => one.name)] };
  });
}

/** The words of master's code, with the parameters that the loader of the configuration reads itself. */
function masterWords(root: string): ReadonlySet<string> {
  const own = MASTER_FOLDERS.map((folder) => codeBelow(root, folder));
  const loader =
    codeBelow(root, "lib/config").match(/settings\.[a-z_]+|get\("[a-z_]+"\)|\["config_directory"/g) ?? [];
  return wordsOf([...own, ...loader].join("\n"));
}

/** A transport's parameter comes to whoever declares the one for all transports. */
function declares(parameters: readonly ParameterName[], name: ParameterName): boolean {
  if (parameters.includes(name)) return true;
  const parts = splitTransportParameter(name);
  if (parts === undefined || !parameters.includes(TRANSPORT_PARAMETERS[parts.suffix])) return false;
  // smtpd_recipient_limit ends like a transport's, but smtpd is no transport.
  const service = SERVICES.get(parts.transport);
  return service === undefined || service.serves === "delivery";
}

/** Some code has the name, or the ending that smtp_ and lmtp_, or all transports, share. */
function isRead(name: string, words: ReadonlySet<string>): boolean {
  if (words.has(name)) return true;
  const ending = name.slice(name.indexOf("_") + 1);
  const shared = name.startsWith("smtp_") || name.startsWith("lmtp_") || ending in TRANSPORT_PARAMETERS;
  return shared && words.has(ending);
}

/** The default as main.toml would have it. */
export function defaultText(row: Parameter): string {
  if (row.computed) return "computed";
  switch (row.type) {
    case "boolean":
      return row.default === "yes" ? "true" : "false";
    case "integer":
      return /^[0-9]+$/.test(row.default) ? row.default : quote(row.default);
    case "string":
    case "templates":
    case "duration":
      return quote(row.default);
    case "list":
    case "tables":
      return `[${(splitList(row.default) ?? []).map(quote).join(", ")}]`;
    default:
      return row.type satisfies never;
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** The type, with the bounds of its values. */
export function typeText({ type, min, max, values, orTables, absolute }: Parameter): string {
  const tables = orTables === true ? " and tables" : "";
  if (values !== undefined) return `${type === "list" ? "list of " : ""}${values.join(", ")}${tables}`;
  if (type === "templates") return "absolute path";
  if (type === "string") return absolute ? "absolute path" : "string";
  if (type !== "integer" && type !== "duration") return type;
  const unit = type === "duration" ? " s" : "";
  if (min !== undefined && max !== undefined) return `${type}, ${min} to ${max}${unit}`;
  if (min !== undefined) return `${type}, from ${min}${unit}`;
  return max === undefined ? type : `${type}, up to ${max}${unit}`;
}

/** One parameter in the list of a daemon's page. */
export function parameterItem({ name, row }: ParameterUse): string {
  return `- \`${name}\` (${code(defaultText(row))}): ${escapeAngles(row.doc)}.`;
}

/** Text in backquotes that may hold backquotes. */
function code(text: string): string {
  return text.includes("`") ? `\`\` ${text} \`\`` : `\`${text}\``;
}

/** docs/parameters.md. */
export function parametersPage(uses: readonly ParameterUse[], notice: string): string {
  return `# Parameters

${notice}

Every parameter that main.toml may set, and the \`parameters\` of a service in master.toml. Names and meanings are
those of Postfix; what is not in Postfix says "Own". A name that is not here is refused when the configuration is read;
[refused parameters](refused-parameters.md) says why, for those that Postfix has.

How values are written is in [main.toml(5)](man/main.toml.5.md). The default is written as main.toml would have it;
\`computed\` means that it is made from facts about the system. "Used by" names the daemons that are told the parameter,
and the programs that read it.

| Parameter | Type | Default | Meaning | Used by |
|---|---|---|---|---|
${uses.map(tableRow).join("\n")}

## Parameters of one transport

A service that delivers mail (\`smtp\`, \`relay\`, \`local\`, or any name that master.toml gives one) may have settings
of its own: the name of the service, an underscore, and one of these endings. Where it is not set, the parameter on
the right counts.

| Ending | Default |
|---|---|
${transportRows(uses)}
`;
}

function tableRow({ name, row, users }: ParameterUse): string {
  const cells = [
    `\`${name}\``,
    typeText(row),
    code(defaultText(row)),
    escapeAngles(row.doc),
    users.join(", "),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The endings whose common parameter is used. */
function transportRows(uses: readonly ParameterUse[]): string {
  return Object.entries(TRANSPORT_PARAMETERS)
    .filter(([, base]) => uses.some(({ name, users }) => name === base && users.length > 0))
    .map(([suffix, base]) => `| \`_${suffix}\` | \`$${base}\` |`).join("\n");
}
