/**
 * What a daemon may touch, as data. Master computes the exact Deno flags from it and from the configuration
 * (lib/server/sandbox.ts); `postern sandbox` prints the same.
 *
 * @module
 */
import type { ParameterName } from "../config/parameters.ts";

/** A daemon's declaration, default-less on purpose: what is not written is not granted. */
export interface Service {
  /** Name of the program, as `command` in master.toml names it. */
  readonly command: string;
  /** Its one purpose, a phrase. */
  readonly purpose: string;
  /**
   * ipc: serves one internal protocol to other daemons on descriptor 3.
   * smtp: serves network clients on descriptor 3.
   * helper: serves one connection that it inherits as descriptor 3 and ends with it.
   */
  readonly skeleton: "ipc" | "stream" | "helper";
  /** The protocol that it serves (a name in lib/proto/protocols.ts), for ipc and helper. */
  readonly serves?: string;
  /**
   * Services (by their name in master.toml) whose sockets it connects to. `$transports` stands for every service
   * that serves the delivery protocol. A service that master.toml does not have is left out.
   */
  readonly connects: readonly string[];
  /** The service that it connects to as well where one of the tables that it reads is on a server. */
  readonly serverTablesBy?: string;
  /**
   * Services that it connects to only where one of these parameters is set, or has the word: "notify_classes=protocol",
   * or names a table whose content is elsewhere: "smtp_requiretls_policy:tables".
   * "$parameter" stands for the transport that a parameter names, as `transport` or `transport:nexthop`.
   */
  readonly connectsFor?: {
    readonly [service: string]:
      readonly (ParameterName | `${ParameterName}=${string}` | `${ParameterName}:tables`)[];
  };
  /**
   * Paths that it reads: "queue/active" is a directory below queue_directory; "table:alias_maps" the files of the
   * tables that the parameter names, but of those on a server only for who may reach it; "servers:NAME" only those on a server; "/etc/passwd" itself; "$maildrop" and the like a parameter that holds a path.
   */
  readonly reads: readonly string[];
  /** Paths that it writes (creates, renames, removes); the same forms. */
  readonly writes: readonly string[];
  /**
   * Network beyond sockets that it inherits. none; resolver: the resolver's address and port; smtp: the ports that
   * the configured transports use, private networks refused unless routed there by name; tables: the servers of the
   * tables that it reads, host and port or socket each; https: https_port anywhere but in private networks.
   */
  readonly inet: "none" | "resolver" | "smtp" | "tables" | "https";
  /** The parameter that names a file which says itself what the program may touch: a filter's. */
  readonly declares?: ParameterName;
  /** Parameters that name filters (milters), which it connects to; of tables, what they have for a key. */
  readonly milters?: readonly ParameterName[];
  /** It speaks with the filter that smtpd_proxy_filter names, at exactly that address. */
  readonly asksProxyFilter?: true;
  /** It asks the policy servers that smtpd's restriction lists name: each adds its address to the flags. */
  readonly asksPolicyServers?: true;
  /** Programs that it may run, absolute paths. */
  readonly runs: readonly string[];
  /** It runs the program that its entry in master.toml names, as the user that the entry names. */
  readonly runsProgram?: true;
  /** `--allow-sys` names, as "statfs". */
  readonly sys?: readonly string[];
  /** Owner when master runs as root. */
  readonly runAs: "postern" | "postern-net" | "recipient";
  /** Most processes at once unless master.toml says otherwise; 0: as many as asked for. */
  readonly processLimit: number;
  /** May ask master for mailbox helpers. */
  readonly startsHelpers?: true;
  /** The parameter that says how long it may be silent before master kills it; default: daemon_watchdog_timeout. */
  readonly watchdog?: ParameterName;
  /** Ends after `max_idle` without work. False for those that hold state or must be there at once. */
  readonly endsWhenIdle: boolean;
  /**
   * It holds state, and nobody needs it before the first who asks: it starts with its first client and stays. It is there
   * from the start where a parameter makes another service ask it (`connectsFor`), and where a directory that it writes has
   * something, as then it has work of its own.
   */
  readonly startsWhenAsked?: true;
  /** It is told the key by which qmgr knows cleanup. */
  readonly knowsQueueKey?: true;
  /** It asks the SASL backend that smtpd_sasl_path names, where smtpd_sasl_auth_enable is set: that socket and no other. */
  readonly asksSasl?: true;
  /** It speaks TLS with clients: it is handed the server's keys and certificates. */
  readonly terminatesTls?: true;
  /** When the mail system stops it ends behind the others, as it has to see what they left. */
  readonly endsLast?: true;
  /** It opens TLS connections to servers: it is handed the authorities, its key and its certificates. */
  readonly opensTls?: true;
  /** It uses an npm package, so its process may load npm code from the cache. */
  readonly npm?: true;
  /** The parameters that it is told. A password or key reaches only those that name it here. */
  readonly parameters: readonly ParameterName[];
}
