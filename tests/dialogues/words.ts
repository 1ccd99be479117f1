/** Parameters in words that both Postern and Postfix read. Not a test itself. @module */
import { isParameterName, PARAMETERS } from "../../lib/config/parameters.ts";

/** A value in words as TOML, by the parameter's type; what is no parameter is a variable, and a list. */
export function toToml(name: string, value: string): string {
  const type = isParameterName(name) ? PARAMETERS[name].type : "list";
  switch (type) {
    case "integer":
      return value;
    case "boolean":
      return String(value === "yes");
    case "list":
    case "tables":
      return `'${value}'`;
    default:
      return JSON.stringify(type === "duration" ? `${value}s` : value);
  }
}
