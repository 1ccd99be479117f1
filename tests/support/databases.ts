/**
 * Database servers of a test's own: on loopback and on a socket in a temporary folder, with their own data, stopped
 * and removed with the test. The system's instances are not touched. Not a test itself.
 *
 * @module
 */
import { TemporaryDirectory } from "./temporary.ts";
import { freePort } from "./ports.ts";

/** Milliseconds that a server may take to come up on a busy machine. */
const START_LIMIT = 60_000;

/** A server that runs until it is disposed of. */
export class DatabaseServer implements AsyncDisposable {
  readonly port: number;
  /** Path of its unix socket. */
  readonly socket: string;
  readonly directory: TemporaryDirectory;
  readonly #start: () => Promise<Deno.ChildProcess>;
  #child: Deno.ChildProcess | undefined;

  constructor(
    port: number,
    socket: string,
    directory: TemporaryDirectory,
    start: () => Promise<Deno.ChildProcess>,
  ) {
    this.port = port;
    this.socket = socket;
    this.directory = directory;
    this.#start = start;
  }

  /** Starts it, again after a stop. */
  async start(): Promise<void> {
    this.#child = await this.#start();
  }

  /** Kills it; its data stay. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.directory[Symbol.dispose]();
  }
}

/** Runs a program to its end. Throws with what it wrote when it fails. */
export async function mustRun(program: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${program} failed: ${text(stdout)}${text(stderr)}`);
  return text(stdout);
}

/** The newest PostgreSQL of the machine. */
export function postgresBin(): string | undefined {
  try {
    const versions = Array.from(Deno.readDirSync("/usr/lib/postgresql"), (entry) => entry.name);
    const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
    return newest === undefined ? undefined : `/usr/lib/postgresql/${newest}/bin`;
  } catch {
    return undefined;
  }
}

/** Root must start PostgreSQL as somebody else. */
function asUser(user: string, program: string, args: readonly string[]): [string, string[]] {
  if (Deno.uid() !== 0) return [program, [...args]];
  return ["setpriv", [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", program, ...args]];
}

/** Starts a program and waits until somebody answers on its port. */
async function startServer(
  program: string,
  args: readonly string[],
  port: number,
): Promise<Deno.ChildProcess> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  child.status.then(() => ended = true);
  for (const start = performance.now(); performance.now() - start < START_LIMIT;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return child;
    } catch {
      if (ended) throw new Error(`${program} ended at once`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  child.kill("SIGKILL");
  throw new Error(`${program} does not answer`);
}

/** Paths of a certificate for 127.0.0.1 and localhost, signed by itself, and of its key. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate in a directory. */
export async function makeCertificate(directory: TemporaryDirectory): Promise<TestCertificate> {
  const [cert, key] = [directory.at("cert.pem"), directory.at("key.pem")];
  await mustRun("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-keyout", key, "-out", cert],
  ]);
  return { cert, key };
}

/** PostgreSQL with user "mail", password "secret", database "mail". */
export async function startPostgres(sql: string): Promise<DatabaseServer> {
  const directory = new TemporaryDirectory();
  const bin = postgresBin()!;
  directory.write("password", "secret\n", 0o644);
  Deno.mkdirSync(directory.at("pg"));
  if (Deno.uid() === 0) {
    await mustRun("chown", ["postgres", directory.path, directory.at("pg")]);
  }
  const data = directory.at("pg/data");
  await mustRun(...asUser("postgres", `${bin}/initdb`, [
    ...["-D", data, "-U", "mail", "-A", "scram-sha-256", `--pwfile=${directory.at("password")}`],
    ...["--no-sync", "-E", "UTF8", "--locale=C"],
  ]));
  const port = freePort();
  const server = new DatabaseServer(port, directory.at(`pg/.s.PGSQL.${port}`), directory, async () => {
    // SIGKILL leaves the lock of a server that is gone.
    await mustRun("rm", ["-f", `${data}/postmaster.pid`]);
    const child = await startServer(
      ...asUser("postgres", `${bin}/postgres`, [
        ...["-D", data, "-c", `port=${port}`, "-c", "listen_addresses=127.0.0.1"],
        ...["-c", `unix_socket_directories=${directory.at("pg")}`, "-c", "fsync=off"],
      ]),
      port,
    );
    return child;
  });
  await server.start();
  const env = ["-U", "mail", "-h", "127.0.0.1", "-p", String(port), "-q", "-v", "ON_ERROR_STOP=1"];
  const login = `PGPASSWORD=secret`;
  await waitFor(() =>
    mustRun("env", [login, "psql", ...env, "-d", "postgres", "-c", "CREATE DATABASE mail"])
  );
  await mustRun("env", [login, "psql", ...env, "-d", "mail"], sql);
  return server;
}

/** MariaDB with user "mail", password "secret", database "mail". */
export async function startMariadb(sql: string, tls?: TestCertificate): Promise<DatabaseServer> {
  const directory = new TemporaryDirectory();
  const user = Deno.uid() === 0 ? ["--user=root"] : [];
  const data = directory.at("data");
  await mustRun("mariadb-install-db", [
    ...["--no-defaults", `--datadir=${data}`, "--auth-root-authentication-method=normal", "--skip-test-db"],
    ...user,
  ]);
  const port = freePort();
  const socket = directory.at("mysql.sock");
  const args = [
    ...["--no-defaults", `--datadir=${data}`, `--socket=${socket}`, `--port=${port}`],
    ...["--bind-address=127.0.0.1", `--pid-file=${directory.at("pid")}`, "--skip-log-bin"],
    ...(tls === undefined
      ? []
      : [`--ssl-cert=${tls.cert}`, `--ssl-key=${tls.key}`, "--require-secure-transport=on"]),
    ...["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M"],
    ...user,
  ];
  const server = new DatabaseServer(
    port,
    socket,
    directory,
    () => startServer("/usr/sbin/mariadbd", args, port),
  );
  await server.start();
  const setup =
    "CREATE DATABASE mail; CREATE USER mail IDENTIFIED BY 'secret'; GRANT ALL ON mail.* TO mail; USE mail;";
  await mustRun("mariadb", ["--no-defaults", `--socket=${socket}`, "-u", "root"], `${setup}\n${sql}`);
  return server;
}

/** OpenLDAP with the suffix dc=example,dc=com; its root is cn=admin,dc=example,dc=com, password "secret". */
export async function startLdap(ldif: string, tls?: TestCertificate): Promise<DatabaseServer> {
  const directory = new TemporaryDirectory();
  Deno.mkdirSync(directory.at("data"));
  const schema = "/etc/ldap/schema";
  const config = directory.write(
    "slapd.conf",
    [
      ...["core", "cosine", "inetorgperson"].map((name) => `include ${schema}/${name}.schema`),
      "modulepath /usr/lib/ldap",
      "moduleload back_mdb",
      ...(tls === undefined ? [] : [`TLSCertificateFile ${tls.cert}`, `TLSCertificateKeyFile ${tls.key}`]),
      "database mdb",
      'suffix "dc=example,dc=com"',
      'rootdn "cn=admin,dc=example,dc=com"',
      "rootpw secret",
      `directory ${directory.at("data")}`,
      "",
    ].join("\n"),
  );
  await mustRun("/usr/sbin/slapadd", ["-f", config, "-l", directory.write("data.ldif", ldif)]);
  const port = freePort();
  const socket = directory.at("ldapi");
  // With a certificate TLS from the start takes the place of the socket; `socket` is then its URL.
  const second = tls === undefined
    ? `ldapi://${encodeURIComponent(socket)}`
    : `ldaps://127.0.0.1:${freePort()}`;
  const urls = `ldap://127.0.0.1:${port} ${second}`;
  const server = new DatabaseServer(port, tls === undefined ? socket : second, directory, () => {
    return startServer("/usr/sbin/slapd", ["-d", "0", "-f", config, "-h", urls], port);
  });
  await server.start();
  return server;
}

/** memcached. */
export async function startMemcached(): Promise<DatabaseServer> {
  const directory = new TemporaryDirectory();
  const port = freePort();
  const user = Deno.uid() === 0 ? ["-u", "root"] : [];
  const server = new DatabaseServer(port, "", directory, () => {
    return startServer("memcached", ["-l", "127.0.0.1", "-p", String(port), "-U", "0", ...user], port);
  });
  await server.start();
  return server;
}

/** Does something again until it works. */
async function waitFor(work: () => Promise<unknown>): Promise<void> {
  for (let left = 100;; left--) {
    try {
      await work();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
