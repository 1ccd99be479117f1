/**
 * The systemd units: the outer fence, which holds even if the runtime inside is broken (DESIGN section 1, security
 * section 4.3). What they name follows from the configuration, as the inner fence does; after a change of where
 * mailboxes or the queue are, or of a port, the installer is run again.
 *
 * @module
 */
import type { Configuration } from "../lib/config/configuration.ts";
import { bundledCode } from "../lib/server/code_location.ts";
import { Planner } from "../lib/server/sandbox.ts";
import { BOOT_ID_VARIABLE, systemFacts } from "../lib/server/system_facts.ts";
import { SERVICES } from "../daemons/services.ts";
import type { Layout } from "./install_layout.ts";
import { masterCommand, masterEnvironment } from "./install_programs.ts";

/** A unit file. */
export interface Unit {
  readonly name: string;
  readonly text: string;
}

/** Where homes are: systemd's own idea of them. */
const HOMES = "/home";
/** Folders with the libraries that the runtime needs. */
const LIBRARIES = ["/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64"];

/** The units of an installation; no socket unit when no service listens on a port. */
export function makeUnits(layout: Layout, configuration: Configuration): Unit[] {
  const addresses = listenAddresses(layout, configuration);
  const units = [{ name: "postern.service", text: serviceUnit(layout, configuration, addresses.length > 0) }];
  return addresses.length === 0 ? units : [...units, { name: "postern.socket", text: socketUnit(addresses) }];
}

function serviceUnit(layout: Layout, configuration: Configuration, socket: boolean): string {
  const after = ["network-online.target", "nss-lookup.target", ...(socket ? ["postern.socket"] : [])].join(
    " ",
  );
  const wants = ["network-online.target", ...(socket ? ["postern.socket"] : [])].join(" ");
  const environment = Object.entries(masterEnvironment(layout)).map(([name, value]) =>
    `Environment="${name}=${value}"`
  );
  const log = logFile(configuration);
  return `# Made by Postern's installer from ${layout.configDirectory}. Changes of your own belong into
# postern.service.d/*.conf; ReadWritePaths= there adds to these.
[Unit]
Description=Postern mail system
After=${after}
Wants=${wants}
Conflicts=postfix.service exim4.service sendmail.service

[Service]
Type=exec
ExecStart=${quoteCommand(masterCommand(layout))}
StandardError=${log === undefined ? "journal" : `append:${quoteSpecifiers(log)}`}
# With the system's full rights, as the service itself may run nothing but its runtime.
ExecReload=+/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec=30s
Restart=on-failure
RestartSec=5s
# A daemon that memory runs out for is replaced by master; the others go on.
OOMPolicy=continue
${environment.join("\n")}
# The boot id, which the service cannot read itself.
Environment="${BOOT_ID_VARIABLE}=%b"
UMask=0077

# Master is root to give each daemon its user, and keeps of root's rights those that this takes: ports below 1024,
# other users' processes and files in the queue. The daemons have none.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID
AmbientCapabilities=
NoNewPrivileges=yes
RestrictSUIDSGID=yes

# The whole system is read-only but for the queue and the mailboxes. The log is open already.
ProtectSystem=strict
${writablePaths(configuration).map((path) => `ReadWritePaths=${path}`).join("\n")}
ProtectHome=${writesHomes(configuration) ? "no" : "read-only"}
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
${executables(layout, configuration)}

ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
KeyringMode=private
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
# Netlink lists the machine's addresses.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
# Memory protection keys are how the runtime guards its compiled code where the processor has them.
SystemCallFilter=@system-service @pkey
SystemCallFilter=~@aio @clock @debug @keyring @memlock @module @mount @obsolete @raw-io @reboot @resources @swap
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute is not set: the runtime compiles JavaScript to machine code.

MemoryMax=80%
TasksMax=8192
LimitNOFILE=65536
LimitCORE=0

[Install]
WantedBy=multi-user.target
${socket ? "Also=postern.socket\n" : ""}`;
}

function socketUnit(addresses: readonly string[]): string {
  return `# Made by Postern's installer: the ports of master.toml, bound before the mail system runs and while it restarts.
[Unit]
Description=Postern mail system's ports
Conflicts=postfix.service exim4.service sendmail.service

[Socket]
${addresses.map((address) => `ListenStream=${address}`).join("\n")}
BindIPv6Only=both
Backlog=1024

[Install]
WantedBy=sockets.target
`;
}

/** Every address of every network service, as master would bind it. */
function listenAddresses(layout: Layout, configuration: Configuration): string[] {
  const planner = new Planner(configuration, SERVICES, bundledCode(layout.libexec), systemFacts());
  return configuration.services.flatMap((entry) => {
    const endpoint = planner.endpoint(entry);
    if (endpoint.kind === "unix") return [];
    return endpoint.hosts.map((host) => `${host.includes(":") ? `[${host}]` : host}:${endpoint.port}`);
  });
}

/** What may be executed: the runtime, and what users and services run, where the configuration lets them. */
function executables(layout: Layout, configuration: Configuration): string {
  if (runsPrograms(configuration)) {
    return "# The configuration lets mail be given to programs (allow_mail_to_commands, mailbox_command, pipe).";
  }
  return `NoExecPaths=/\nExecPaths=${quoteWord(layout.runtime)} ${
    LIBRARIES.map((path) => `-${path}`).join(" ")
  }`;
}

/** Which programs those are nobody can say beforehand: what a user's file names, and what that runs in turn. */
function runsPrograms(configuration: Configuration): boolean {
  const { allow_mail_to_commands, mailbox_command, mailbox_command_maps } = configuration.settings;
  return allow_mail_to_commands.length > 0 || mailbox_command !== "" || mailbox_command_maps.length > 0 ||
    configuration.services.some(({ pipe }) => pipe !== undefined);
}

/** What is written: the queue, and where the configuration puts mailboxes and the log. */
function writablePaths(configuration: Configuration): string[] {
  const { queue_directory, mail_spool_directory, virtual_mailbox_base } = configuration.settings;
  const optional = [
    mail_spool_directory,
    virtual_mailbox_base,
    writesHomes(configuration) ? HOMES : "",
  ].filter((path) => path !== "");
  // "-": one that does not exist is no reason not to start.
  return [quoteWord(queue_directory), ...optional.map((path) => quoteWord(`-${path}`))];
}

/** Mailboxes of local users are in their homes, or what users' files and commands write. */
function writesHomes(configuration: Configuration): boolean {
  const { home_mailbox, allow_mail_to_files } = configuration.settings;
  return home_mailbox !== "" || allow_mail_to_files.length > 0 || runsPrograms(configuration);
}

/** The file that the log goes to; the journal if there is none. */
function logFile(configuration: Configuration): string | undefined {
  const { maillog_file } = configuration.settings;
  return maillog_file === "" || maillog_file === "/dev/stdout" ? undefined : maillog_file;
}

/** A command line: systemd expands $ in it. */
function quoteCommand(words: readonly string[]): string {
  return words.map(quoteWord).join(" ").split("$").join("$$");
}

/** One of several words of a line: systemd splits at blanks. */
function quoteWord(word: string): string {
  const escaped = quoteSpecifiers(word).split("\\").join("\\\\").split('"').join('\\"');
  return escaped.includes(" ") ? `"${escaped}"` : escaped;
}

/** A value in a unit file, which goes to the end of its line. */
function quoteSpecifiers(value: string): string {
  return value.split("%").join("%%");
}
