/**
 * docs/refused-parameters.md: what Postfix has and Postern refuses, with the reason.
 *
 * @module
 */
import { isParameterName } from "../lib/config/parameters.ts";
import { findPostfixParameter, POSTFIX_NAMES, type Refusal } from "../lib/config/postfix_parameters.ts";
import { escapeAngles } from "./manual_doc.ts";

/** Parameters that are refused for the same reason. */
interface Group {
  readonly refusal: Refusal;
  readonly names: string[];
}

/** The page. */
export function refusedPage(notice: string): string {
  const parts = [...groups().values()].map(({ refusal, names }) =>
    `## Postern: ${refusal.why}\n\n| Parameter | Default | Meaning | Instead |\n|---|---|---|---|\n${
      names.map(tableRow).join("\n")
    }`
  );
  return `# Parameters of Postfix that Postern refuses

${notice}

A configuration that sets one of these does not start: a setting that has no effect would be worse than none.
\`postern import\` leaves them out of what it makes of a main.cf, and lists them.

${parts.join("\n\n")}
`;
}

/** The refused names by reason, in the order of the first name of each. */
function groups(): ReadonlyMap<string, Group> {
  const found = new Map<string, Group>();
  for (const name of POSTFIX_NAMES) {
    const refusal = findPostfixParameter(name)?.refusal;
    if (isParameterName(name) || refusal === undefined) continue;
    const group = found.get(refusal.why);
    if (group === undefined) found.set(refusal.why, { refusal, names: [name] });
    else group.names.push(name);
  }
  return found;
}

function tableRow(name: string): string {
  const { default: value, doc = "", refusal } = findPostfixParameter(name)!;
  const shown = value === "" ? "" : value.includes("`") ? `\`\` ${value} \`\`` : `\`${value}\``;
  const cells = [`\`${name}\``, shown, escapeAngles(doc), refusal?.cure ?? ""];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
