/**
 * The real proxymap process, under the flags that master computes from its declaration.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { SERVICE } from "../../../daemons/proxymap/service.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import { MapClient } from "../../../lib/proto/proxymap_client.ts";
import { PROXYMAP } from "../../../lib/proto/protocols.ts";
import { bindUnix } from "../../../lib/safe/process.ts";
import { type Boot, formatLine } from "../../../lib/server/boot.ts";
import { locateCode } from "../../../lib/server/code_location.ts";
import { daemonEnvironment, hardeningFlags } from "../../../lib/server/hardening.ts";
import { tableFiles } from "../../../lib/table/table_files.ts";
import { proxymapSettings } from "./proxymap_support.ts";

/** Starts the daemon on a socket in `directory`; `files` are what it may read. */
function startDaemon(directory: string, settings: Boot["settings"], files: readonly string[]) {
  const socket = `${directory}/proxymap`;
  const listener = bindUnix(socket, 0o666);
  const code = locateCode(Deno.execPath());
  const flags = [`--allow-read=${files.join(",")}`, `--allow-sys=${SERVICE.sys.join(",")}`];
  const args = ["run", ...hardeningFlags(code, SERVICE.npm), ...flags, code.entry("proxymap")];
  const child = spawn(code.runtime, args, {
    stdio: ["pipe", "ignore", "pipe", listener.descriptor],
    env: { ...daemonEnvironment(code) },
    cwd: "/",
  });
  const log = { text: "" };
  child.stderr!.on("data", (bytes: Uint8Array) => void (log.text += new TextDecoder().decode(bytes)));
  child.stdin!.on("error", () => {});
  const boot: Boot = {
    service: "proxymap",
    settings,
    listeners: 1,
    sockets: {},
    transports: [],
    log: { syslogName: "postfix", hostName: "mx.test", format: "postfix", debug: false },
    maxUse: 0,
    maxIdle: 0,
    bootId: "boot",
  };
  child.stdin!.write(formatLine(boot as never));
  return { client: new IpcClient(PROXYMAP, socket), child, listener, log };
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

Deno.test({
  name: "the process answers from its tables, matches patterns with RE2, and reads nothing else",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const directory = Deno.makeTempDirSync();
    Deno.writeTextFileSync(`${directory}/virtual`, "joe@x.test a@b\n");
    Deno.writeTextFileSync(`${directory}/patterns`, "/^(a+)+@x\\.test$/ $1@y\n");
    Deno.writeTextFileSync(`${directory}/secret`, "key value\n");
    const settings = proxymapSettings({
      virtual_alias_maps: [`texthash:${directory}/virtual`, `regexp:${directory}/patterns`],
      relocated_maps: [`texthash:${directory}/secret`],
      inet_interfaces: ["all"],
    });
    // The declaration's files but one, as if the configuration did not name it: the sandbox must refuse that one.
    const files = tableFiles(settings.virtual_alias_maps ?? []);
    const { client, child, listener, log } = startDaemon(directory, settings, files);
    try {
      const maps = new MapClient(client, {});
      assert.deepEqual(await maps.find("virtual_alias_maps", "address", "joe+e@x.test"), {
        kind: "found",
        value: "a@b",
        extension: "+e",
      });
      assert.deepEqual(await maps.find("virtual_alias_maps", "address", "aaa@x.test"), {
        kind: "found",
        value: "aaa@y",
        extension: "",
      });
      const hostile = `${"a".repeat(900)}!@x.test`;
      assert.deepEqual(await maps.find("virtual_alias_maps", "address", hostile), { kind: "missing" });
      assert.equal((await maps.find("virtual_uid_maps", "key", "x")).kind, "retry");
      const secret = await maps.find("relocated_maps", "key", "key");
      assert.equal(secret.kind, "retry");
      assert.match(log.text, /error: Cannot open table "texthash:.*\/secret"/);
      assert.match(log.text, /security: sandbox refused: .*\/secret"/);
      const many = Array.from(
        { length: 2000 },
        (_, i) => maps.find("virtual_alias_maps", "address", `u${i}@x.test`),
      );
      assert.ok((await Promise.all(many)).every((outcome) => outcome.kind === "missing"));
    } finally {
      client.close();
      const exit = ended(child);
      child.stdin!.end();
      await exit;
      listener.close();
      Deno.removeSync(directory, { recursive: true });
    }
    assert.equal(child.exitCode, 0);
  },
});
