/**
 * One Debian Postfix with a trivial-rewrite for each of many configurations, and our service in the same
 * configurations. Not a test itself.
 *
 * @module
 */
import { loadConfiguration, settingsFor } from "../../../lib/config/configuration.ts";
import { findParameter, PARAMETER_NAMES } from "../../../lib/config/parameters.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { parameterToTomlLine } from "../../../lib/config/toml_text.ts";
import { SILENT } from "../../../lib/log/log.ts";
import { OwnAddresses } from "../../../lib/mail/own_address.ts";
import { addressSet } from "../../../lib/maps/proxymap_local.ts";
import { MapService } from "../../../lib/maps/proxymap_service.ts";
import { ProxymapTables, searchedParameters } from "../../../lib/maps/proxymap_tables.ts";
import { RewriteService } from "../../../lib/rewrite/rewrite_service.ts";
import { SERVICE as PROXYMAP_SERVICE } from "../../../daemons/proxymap/service.ts";
import { Attr0 } from "../../support/attr0.ts";
import { COMMON, type MainCf } from "./rewrite_configurations.ts";

const POSTFIX = "/usr/sbin/postfix";

/** A Postfix that listens nowhere and has only rewriting to offer; `await using` stops and removes it. */
export class RewritePeer implements AsyncDisposable {
  readonly #root: string;
  readonly #names: readonly string[];

  private constructor(root: string, names: readonly string[]) {
    this.#root = root;
    this.#names = names;
  }

  static async start(configurations: Readonly<Record<string, MainCf>>): Promise<RewritePeer> {
    const root = Deno.makeTempDirSync({ prefix: "postern-rewrite-" });
    Deno.chmodSync(root, 0o755); // its daemons run as user postfix
    for (const name of ["conf", "queue", "data"]) Deno.mkdirSync(`${root}/${name}`);
    const main = {
      ...COMMON,
      queue_directory: `${root}/queue`,
      data_directory: `${root}/data`,
      maillog_file: `${root}/log`,
      maillog_file_prefixes: root,
    };
    Deno.writeTextFileSync(`${root}/conf/main.cf`, lines(main, (name, value) => `${name} = ${value}`));
    const services = Object.values(configurations).map((one, i) =>
      `rewrite${i} unix - - n - 1 trivial-rewrite\n` +
      lines(one, (name, value) => `    -o { ${name} = ${value} }`)
    );
    const others = "postlog unix-dgram n - n - 1 postlogd\n";
    Deno.writeTextFileSync(`${root}/conf/master.cf`, others + services.join(""));
    await new Deno.Command("chown", { args: ["postfix", `${root}/data`] }).output();
    const peer = new RewritePeer(root, Object.keys(configurations));
    await peer.#run("start");
    return peer;
  }

  /** A connection to the service with the configuration of that name. */
  connect(name: string): Promise<Attr0> {
    return Attr0.connect(`${this.#root}/queue/private/rewrite${this.#names.indexOf(name)}`);
  }

  /** The end of its log, for messages of failures. */
  logEnd(): string {
    return Deno.readTextFileSync(`${this.#root}/log`).split("\n").slice(-5).join("\n");
  }

  async #run(action: "start" | "stop"): Promise<void> {
    const { success, stderr } = await new Deno.Command(POSTFIX, {
      args: ["-c", `${this.#root}/conf`, action],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot ${action} Postfix: ${new TextDecoder().decode(stderr)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run("stop");
    Deno.removeSync(this.#root, { recursive: true });
  }
}

function lines(parameters: MainCf, line: (name: string, value: string) => string): string {
  return Object.entries(parameters).map(([name, value]) => `${line(name, value)}\n`).join("");
}

const MASTER_TOML = `[[service]]
name = "rewrite"
type = "unix"
command = "trivial-rewrite"
[[service]]
name = "proxymap"
type = "unix"
command = "proxymap"
`;

/** Our service in a configuration, from the text of main.toml on, with proxymap's tables. */
export function makeOurs(parameters: MainCf): RewriteService {
  const main = lines({ ...COMMON, ...parameters, compatibility_level: "3.6" }, (name, value) => {
    if (name === "compatibility_level") return "";
    return `${name} = ${parameterToTomlLine(findParameter(name)!, value)}`;
  });
  const { configuration, problems } = loadConfiguration("/nowhere", { hostName: "mx.test", addresses: [] }, {
    readText: (path) => path.endsWith("main.toml") ? main : MASTER_TOML,
    commands: ["trivial-rewrite", "proxymap"],
  });
  if (configuration === undefined) throw new Error(problems.map(formatProblem).join("\n"));
  const [rewriteEntry, mapEntry] = configuration.services;
  const settings = settingsFor(configuration, rewriteEntry!, PARAMETER_NAMES);
  const mapSettings = settingsFor(configuration, mapEntry!, PARAMETER_NAMES);
  const tables = new ProxymapTables(mapSettings, SILENT, searchedParameters(PROXYMAP_SERVICE.reads));
  const addresses = addressSet([...settings.inet_interfaces, ...settings.proxy_interfaces], () => []);
  const proxymap = new MapService(mapSettings, tables, addresses, SILENT);
  const own = new OwnAddresses(settings.inet_interfaces, settings.proxy_interfaces, () => []);
  const maps = {
    find: (parameter: string, search: "address" | "transport" | "list", key: string) =>
      proxymap.find({ parameter, search, key, table: "" }),
  };
  return new RewriteService(settings, maps, own, SILENT);
}
