/**
 * What a row of Postfix's parameters holds, and the reasons why Postern refuses some.
 *
 * @module
 */

/** What a value of main.cf is. */
export type PostfixType = "string" | "bool" | "int" | "time" | "raw";

/** Why a parameter is refused. */
export interface Refusal {
  readonly why: string;
  readonly cure: string;
  /** Nothing is lost without it: it is about how Postfix is built and run. */
  readonly harmless?: true;
  /** Postern always does what the default says, and nothing else. */
  readonly fixed?: true;
}

/** What is left out costs nothing: the default is what Postern does. */
const LEAVE_OUT = "leave it out";

/** Reasons, one for each group of parameters. */
// deno-fmt-ignore
export const REASONS = {
  biff: { why: "it does not tell users that mail has come", cure: LEAVE_OUT, harmless: true },
  client: { why: "its SMTP and LMTP client has no such setting", cure: LEAVE_OUT },
  content: { why: "cleanup does not do this to messages and addresses", cure: "leave it out, or let another system do it" },
  debug: { why: "it has no debugging options", cure: "see `postern trace` and the log" },
  delivery: { why: "its delivery agents have no such setting", cure: LEAVE_OUT },
  disk: { why: "a full disk is found by writing to it, and answered with 452", cure: LEAVE_OUT },
  dns: { why: "its dns daemon has no such setting", cure: LEAVE_OUT },
  environment: { why: "daemons and commands get a fixed environment", cure: LEAVE_OUT, harmless: true },
  flush: { why: "its lists for flush have no such setting", cure: LEAVE_OUT },
  instances: { why: "each of its programs works on one instance", cure: "use `postmulti -p` for all instances, `postern -c DIR` for one" },
  ipc: { why: "connections between its daemons stay open, under limits of their own", cure: LEAVE_OUT, harmless: true },
  layout: { why: "its programs find one another by themselves", cure: LEAVE_OUT, harmless: true },
  level: { why: "its defaults are those of the newest level", cure: "leave it out, and set what differs", harmless: true },
  local: { why: "local delivery has no such setting", cure: LEAVE_OUT },
  log: { why: "it writes its log itself", cure: "see maillog_file; rotate with logrotate", harmless: true },
  milter: { why: "it does not speak to mail filters (milters)", cure: "leave it out, or filter in front of Postern" },
  network: { why: "the system tunes its sockets", cure: LEAVE_OUT, harmless: true },
  obsolete: { why: "it is obsolete in Postfix itself", cure: "use what took its place" },
  policy: { why: "it does not ask policy servers", cure: "leave it out, or use access tables" },
  postscreen: { why: "its postscreen has no such setting", cure: LEAVE_OUT },
  process: { why: "its processes are started and watched in its own way", cure: LEAVE_OUT, harmless: true },
  proxy: { why: "it has no filter before the queue", cure: LEAVE_OUT },
  runtime: { why: "only a running program has a value for it", cure: "use it as $name in the parameters of a service", harmless: true },
  sasl: { why: "its SASL has no such setting", cure: LEAVE_OUT },
  scache: { why: "each client process keeps its own connections", cure: LEAVE_OUT, harmless: true },
  service: { why: "its daemons find one another by fixed names", cure: LEAVE_OUT, harmless: true },
  smtpd: { why: "its SMTP server has no such setting", cure: LEAVE_OUT },
  smtpdFixed: { why: "its SMTP server always does as Postfix does by default", cure: LEAVE_OUT, fixed: true },
  tables: { why: "its tables have no such setting", cure: LEAVE_OUT },
  tls: { why: "its TLS library, rustls, has no such setting", cure: LEAVE_OUT },
  verify: { why: "it does not probe addresses", cure: "use recipient tables such as relay_recipient_maps" },
  version: { why: "it cannot be changed", cure: LEAVE_OUT, harmless: true },
} as const satisfies Readonly<Record<string, Refusal>>;

/** Type, default, least, most, users, and for what is refused the reason and what it is for. */
export type PostfixRow =
  | readonly [PostfixType, string, number, number, string]
  | readonly [PostfixType, string, number, number, string, keyof typeof REASONS, string];
