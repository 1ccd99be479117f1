/**
 * Debian's Mailman 3 with a list of a test's own: configuration, database and queues in a temporary directory, LMTP on a
 * port of loopback. It needs root, as it runs as the user list. Not a test itself.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { filesBelow } from "./postern.ts";
import { freePort } from "./ports.ts";
import { ServerProgram } from "./server_program.ts";

/** What runs Mailman's runners. */
export const MAILMAN = "/usr/lib/mailman3/bin/master";
/** Its user and group; Mailman does not run as root. */
const AS_LIST = ["--reuid=list", "--regid=list", "--clear-groups"];
/** Runners that no test needs: archives, digests, the web. Each would be a process. */
const UNUSED = ["archive", "bad", "digest", "nntp", "rest", "retry", "shunt", "task"];
/** Runners that look for work this often. */
const RUNNERS = ["bounces", "command", "in", "out", "pipeline", "virgin"];

/** Makes a list with members, and the tables for the mail system in both forms that Mailman knows. */
const MAKE = `
import json, os, sys
from mailman.core.initialize import initialize
initialize(sys.argv[1])
from mailman.app.lifecycle import create_list
from mailman.database.transaction import transaction
from mailman.interfaces.domain import IDomainManager
from mailman.interfaces.member import MemberRole
from mailman.interfaces.usermanager import IUserManager
from mailman.mta.postfix import LMTP
from mailman.utilities.datetime import now
from zope.component import getUtility
name, owner, members = json.loads(sys.argv[2])
with transaction():
    users = getUtility(IUserManager)
    getUtility(IDomainManager).add(name.split("@")[1])
    users.create_address(owner, "Owner").verified_on = now()
    mlist = create_list(name, [owner])
    mlist.send_welcome_message = False
    mlist.digests_enabled = False
    for address in members:
        made = users.create_address(address, "Member")
        made.verified_on = now()
        mlist.subscribe(made, MemberRole.member)
for kind in ("hash", "regex"):
    tables = LMTP()
    tables.transport_file_type = kind
    os.mkdir(sys.argv[3] + "/" + kind)
    tables.regenerate(sys.argv[3] + "/" + kind)
`;

/** The list. */
export interface MailmanList {
  readonly name: string;
  readonly owner: string;
  readonly members: readonly string[];
}

/** A Mailman; `await using` stops and removes it. */
export class Mailman implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "mailman-" });
  readonly port: number = freePort();
  readonly #configuration = `${this.root}/mailman.cfg`;
  #server: ServerProgram | undefined;

  /**
   * A Mailman with a list; nothing runs.
   *
   * @param smtpPort of 127.0.0.1, where it gives mail to the mail system
   */
  static async make(smtpPort: number, { name, owner, members }: MailmanList): Promise<Mailman> {
    const made = new Mailman();
    const { root } = made;
    Deno.writeTextFileSync(made.#configuration, configuration(root, made.port, smtpPort));
    Deno.writeTextFileSync(
      `${root}/mta.cfg`,
      "[postfix]\npostmap_command: true\ntransport_file_type: hash\n",
    );
    await run("chown", ["-R", "list:list", root]);
    const list = JSON.stringify([name, owner, members]);
    await run("setpriv", [...AS_LIST, "/usr/bin/python3", "-c", MAKE, made.#configuration, list, root]);
    return made;
  }

  /** Starts the runners. */
  async start(): Promise<void> {
    const args = [...AS_LIST, MAILMAN, "-C", this.#configuration];
    this.#server = await ServerProgram.start("setpriv", args, this.port, { output: `${this.root}/output` });
  }

  /** A table that it has made: those with names of the list, or with its domain. */
  table(kind: "hash" | "regex", name: "postfix_lmtp" | "postfix_domains"): string {
    return `${kind === "hash" ? "texthash" : "regexp"}:${this.root}/${kind}/${name}`;
  }

  /** Members whose mail has come back, as its database has them. */
  bounced(): string[] {
    using database = new DatabaseSync(`${this.root}/mailman.db`, { readOnly: true });
    return database.prepare("SELECT email FROM bounceevent").all().map(({ email }) => String(email));
  }

  log(): string {
    return filesBelow(`${this.root}/var/logs`).map((path) => Deno.readTextFileSync(path)).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

function configuration(root: string, port: number, smtpPort: number): string {
  return `[mailman]
layout: test
site_owner: postmaster@example.test
[paths.test]
var_dir: ${root}/var
bin_dir: /usr/lib/mailman3/bin
etc_dir: ${root}
pid_file: ${root}/var/master.pid
[database]
class: mailman.database.sqlite.SQLiteDatabase
url: sqlite:///${root}/mailman.db
[logging.root]
level: info
[mta]
incoming: mailman.mta.postfix.LMTP
outgoing: mailman.mta.deliver.deliver
smtp_host: 127.0.0.1
smtp_port: ${smtpPort}
lmtp_host: 127.0.0.1
lmtp_port: ${port}
configuration: ${root}/mta.cfg
verp_delivery_interval: 1
${UNUSED.map((name) => `[runner.${name}]\nstart: no\n`).join("")}${
    RUNNERS.map((name) => `[runner.${name}]\nsleep_time: 0.1s\n`).join("")
  }`;
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd: "/" }).output();
  if (success) return;
  const text = new TextDecoder();
  throw new Error(`${program} failed: ${text.decode(stdout)}${text.decode(stderr)}`);
}
