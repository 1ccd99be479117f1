/**
 * The configuration of ldap: tables, in the syntax of ldap_table(5).
 *
 * @module
 */
// Utility
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";
// Tables
import {
  COMMON_PARAMETERS,
  type CommonConfig,
  commonConfig,
  type ConfigReading,
  readParameterFile,
  template,
} from "./database_config.ts";
import type { ParameterFile } from "./parameter_file.ts";
import type { QueryTemplate } from "./query_template.ts";
import { parseTarget, type ServerTarget } from "./server_target.ts";
import type { LdapLogin } from "./servers.ts";
import { refuse } from "./table.ts";

/** A server and how it is spoken to. */
export interface LdapServer {
  readonly target: ServerTarget;
  readonly security: LdapLogin["security"];
}

/** Attributes by what is done with their values; names in small letters. */
export interface LdapAttributes {
  readonly result: readonly string[];
  /** Names of entries and URLs to follow. */
  readonly special: readonly string[];
  /** Where an entry has one, only these count. */
  readonly terminal: readonly string[];
  /** Left out where an entry has a special one. */
  readonly leaf: readonly string[];
}

/** A table in a directory. */
export interface LdapConfig extends CommonConfig {
  readonly servers: readonly LdapServer[];
  readonly base: QueryTemplate;
  readonly filter: QueryTemplate;
  readonly scope: "sub" | "base" | "one";
  readonly attributes: LdapAttributes;
  readonly bind: LdapLogin["bind"];
  readonly recursionLimit: number;
  readonly sizeLimit: number;
  readonly dereference: 0 | 1 | 2 | 3;
  /** Milliseconds. */
  readonly timeout: number;
  /** Paths of PEM files; empty: none. */
  readonly tls: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    readonly verify: boolean;
  };
}

const KNOWN = [
  ...COMMON_PARAMETERS,
  ..."server_host server_port timeout search_base query_filter result_filter result_attribute".split(" "),
  ..."special_result_attribute terminal_result_attribute leaf_result_attribute scope bind bind_dn".split(" "),
  ..."bind_pw recursion_limit size_limit dereference chase_referrals version debuglevel start_tls".split(" "),
  ..."tls_ca_cert_file tls_cert tls_key tls_require_cert cache cache_expiry cache_size".split(" "),
];

/** Reads the configuration. Throws a TableError. */
export function readLdapConfig(reading: ConfigReading): LdapConfig {
  const file = readParameterFile(reading, KNOWN);
  for (const name of ["cache", "cache_expiry", "cache_size"]) {
    if (file.has(name)) {
      reading.warn({ ...file.place(name), text: `${name} is ignored; cache support is obsolete` });
    }
  }
  const common = commonConfig(reading, file);
  file.required("search_base");
  return {
    ...common,
    format: file.has("result_format") ? common.format : template(file, "result_filter", "%s"),
    servers: readServers(file),
    base: template(file, "search_base", ""),
    filter: template(file, "query_filter", "(mailacceptinggeneralid=%s)"),
    scope: file.choice("scope", ["sub", "base", "one"], "sub"),
    attributes: readAttributes(file),
    bind: readBind(file),
    recursionLimit: file.number("recursion_limit", 1000, 1),
    sizeLimit: file.number("size_limit", common.expansionLimit),
    dereference: file.number("dereference", 0, 0, 3) as 0 | 1 | 2 | 3,
    timeout: file.number("timeout", 10, 1) * 1000,
    tls: {
      ca: file.text("tls_ca_cert_file"),
      cert: file.text("tls_cert"),
      key: file.text("tls_key"),
      verify: file.flag("tls_require_cert", false),
    },
  };
}

/** What Postfix's LDAP library does and ours does not is refused by name. */
function readBind(file: ParameterFile): LdapLogin["bind"] {
  const version = file.number("version", 3);
  if (version !== 3) refuse(file.place("version"), "version must be 3");
  if (file.number("chase_referrals", 0) !== 0) {
    refuse(
      file.place("chase_referrals"),
      "chase_referrals is not supported: name the other server in a table of its own",
    );
  }
  const bind = file.choice("bind", ["yes", "no", "simple", "none", "sasl"], "yes");
  if (bind === "sasl") refuse(file.place("bind"), "bind = sasl is not supported: use a simple bind over TLS");
  if (bind === "no" || bind === "none") return undefined;
  return { dn: file.text("bind_dn"), password: file.text("bind_pw") };
}

function readServers(file: ParameterFile): LdapServer[] {
  const port = file.number("server_port", 389, 1, 65535);
  const starttls = file.flag("start_tls", false);
  return file.words("server_host", ["localhost"]).map((word) => {
    const server = readServer(word, port, starttls);
    if (server === undefined) {
      refuse(file.place("server_host"), `"${word}" is no server: write host:port or a URL`);
    }
    return server;
  });
}

/** `host`, `host:port`, `ldap://host:port`, `ldaps://host:port` or `ldapi://%2Fpath`. */
function readServer(word: string, port: number, starttls: boolean): LdapServer | undefined {
  const lower = asciiLower(word);
  const scheme = ["ldap://", "ldaps://", "ldapi://"].find((known) => lower.startsWith(known));
  const slash = scheme === undefined ? -1 : word.indexOf("/", scheme.length);
  const rest = scheme === undefined ? word : word.slice(scheme.length, slash < 0 ? word.length : slash);
  if (scheme === "ldapi://") {
    const path = decodePercent(rest);
    return path?.startsWith("/") ? { target: { kind: "unix", path }, security: "plain" } : undefined;
  }
  const target = parseTarget(rest, scheme === "ldaps://" ? 636 : port);
  if (target?.kind !== "inet") return undefined;
  return { target, security: scheme === "ldaps://" ? "ldaps" : starttls ? "starttls" : "plain" };
}

/** The text that `%XX` stands in, or undefined when one is malformed. */
export function decodePercent(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function readAttributes(file: ParameterFile): LdapAttributes {
  const names = (name: string, otherwise: string) =>
    splitBlanks(asciiLower(file.text(name, otherwise)), true);
  return {
    result: names("result_attribute", "maildrop"),
    special: names("special_result_attribute", ""),
    terminal: names("terminal_result_attribute", ""),
    leaf: names("leaf_result_attribute", ""),
  };
}
