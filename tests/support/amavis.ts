/**
 * Debian's Amavis as a filter of a test's own: for what is banned by its name alone, without virus scanner and network. It
 * needs root, as it runs as its own user. Not a test itself.
 *
 * @module
 */
import { filesBelow } from "./postern.ts";
import { freePort } from "./ports.ts";
import { ServerProgram } from "./server_program.ts";

/** The program. */
export const AMAVIS = "/usr/sbin/amavisd";

/** A running Amavis; `await using` stops and removes it. */
export class Amavis implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "amavis-" });
  /** Where it takes mail behind the queue: what is banned is returned to the sender by itself. */
  readonly after: number = freePort();
  /** Where it is asked before the queue: what is banned is refused. */
  readonly before: number = freePort();
  #server: ServerProgram | undefined;

  /** @param again port of loopback that it gives mail back to */
  static async start(again: number): Promise<Amavis> {
    const made = new Amavis();
    try {
      await made.#start(again);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(again: number): Promise<void> {
    const { root, after, before } = this;
    // It reads no configuration that it could write itself.
    Deno.chmodSync(root, 0o755);
    Deno.writeTextFileSync(`${root}/amavisd.conf`, configuration(root, after, before, again));
    for (const name of ["home", "home/tmp", "home/quarantine"]) Deno.mkdirSync(`${root}/${name}`);
    const owned = await new Deno.Command("chown", { args: ["-R", "amavis:amavis", `${root}/home`] }).output();
    if (!owned.success) throw new Error("There is no user amavis");
    const args = ["-c", `${root}/amavisd.conf`, "foreground"];
    this.#server = await ServerProgram.start(AMAVIS, args, before, { output: `${root}/output` });
  }

  /** What it has kept of what is banned. */
  quarantine(): string[] {
    return filesBelow(`${this.root}/home/quarantine`).map((path) => Deno.readTextFileSync(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

function configuration(root: string, after: number, before: number, again: number): string {
  return `use strict;
$max_servers = 2;
$daemon_user = 'amavis';
$daemon_group = 'amavis';
$myhostname = 'amavis.test';
$mydomain = 'example.test';
@local_domains_maps = (['.example.test']);
$MYHOME = '${root}/home';
$TEMPBASE = "$MYHOME/tmp";
$QUARANTINEDIR = "$MYHOME/quarantine";
$quarantine_subdir_levels = 0;
$DO_SYSLOG = 0;
$enable_db = 0;
$enable_zmq = 0;
$enable_dkim_verification = 0;
# A scanner that finds nothing: without one there is no header.
@av_scanners = (['none', '/bin/true', '{}', [0], [1], qr/^(.*)$/]);
@bypass_spam_checks_maps = (1);
$inet_socket_bind = '127.0.0.1';
$inet_socket_port = [${after}, ${before}];
$forward_method = $notify_method = 'smtp:[127.0.0.1]:${again}';
$banned_filename_re = new_RE(qr'\\.(exe|vbs)$'i);
$final_banned_destiny = D_BOUNCE;
$final_bad_header_destiny = D_PASS;
$X_HEADER_LINE = 'amavis at example.test';
$interface_policy{'${before}'} = 'BEFORE';
$policy_bank{'BEFORE'} = { final_destiny_maps_by_ccat => { CC_BANNED, D_REJECT, CC_CATCHALL, D_PASS } };
1;
`;
}
