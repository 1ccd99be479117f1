/** What of the installer can be tried without being root, or without installing for real. */
import assert from "node:assert/strict";
import { launcher } from "../../scripts/install_programs.ts";
import { InstallError, readManifest, removeInstalled } from "../../scripts/install_files.ts";
import { bundlePath, type Layout, makeLayout } from "../../scripts/install_layout.ts";
import { parseOptions, UsageError } from "../../scripts/install_options.ts";
import { usage } from "../../main.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { runInstaller, runTool, tree } from "./install_support.ts";

Deno.test("The installer's options have the defaults of a system-wide installation", () => {
  assert.deepEqual(parseOptions([]), {
    action: "install",
    prefix: "/usr/local",
    root: "",
    configDirectory: "/etc/postern",
    queueDirectory: "/var/spool/postern",
    users: true,
    compile: true,
    purgeUsers: false,
  });
});

Deno.test("The installer's paths are made plain", () => {
  const options = parseOptions(["--prefix", "/opt//x/../postern/", "--config-dir", "/etc/./p"]);
  assert.equal(options.prefix, "/opt/postern");
  assert.equal(options.configDirectory, "/etc/p");
});

Deno.test("A package makes no users", () => {
  assert.equal(parseOptions(["--root", "/tmp/package"]).users, false);
});

Deno.test("A command line that makes no sense is refused", () => {
  const rows = [
    ["--prefix", "opt"],
    ["--prefix", "/"],
    ["--prefix", "/.."],
    ["--prefix", "/opt/a\nb"],
    ["--prefix", '/opt/"'],
    ["--prefix", "/opt/'"],
    ["--queue-dir", "/var/$x"],
    ["--queue-dir", "/var/%i"],
    ["--config-dir", "/etc/\\"],
    ["--config-dir"],
    ["--purge-users"],
    ["--unknown"],
    ["stray"],
  ];
  for (const args of rows) assert.throws(() => parseOptions(args), UsageError, args.join(" "));
});

Deno.test("Every installed name is one that the dispatcher knows", () => {
  const names = makeLayout(parseOptions([])).programs.flatMap(({ name }) => name ?? []);
  assert.ok(names.length > 0);
  for (const name of names) assert.ok(usage().includes(`\n  ${name} `), name);
});

Deno.test("A launcher passes arguments on as they are, and one variable only when it is set", async () => {
  using directory = new TemporaryDirectory();
  const layout = makeLayout({ root: "", prefix: directory.at("it's here"), configDirectory: "/etc/a b" });
  Deno.mkdirSync(layout.libexec, { recursive: true });
  // In the runtime's place: what it would be started with.
  Deno.writeTextFileSync(layout.runtime, '#!/bin/sh\nfor word; do echo "$word"; done\n/usr/bin/env\n', {
    mode: 0o755,
  });
  const script = directory.write("sendmail", launcher(layout, { name: "sendmail", path: "" }), 0o755);
  const run = async (environment: Record<string, string>, ...args: string[]) => {
    const done = await runTool(script, args, { environment });
    assert.deepEqual([done.status, done.errors], [0, ""]);
    return done.output.split("\n");
  };
  const lines = await run({ NAME: "A  B", DENO_DIR: "/x", OTHER: "y" }, "-t", "two words", "$HOME", "");
  assert.equal(lines[0], "run");
  const at = lines.indexOf(bundlePath(layout, "postern"));
  assert.deepEqual(lines.slice(at + 1, at + 6), ["sendmail", "-t", "two words", "$HOME", ""]);
  for (const line of ["NAME=A  B", "MAIL_CONFIG=/etc/a b", "DENO_DIR=/dev/null"]) {
    assert.ok(lines.includes(line), line);
  }
  assert.ok(!lines.some((line) => line.startsWith("OTHER=")));
  const bare = await run({ MAIL_CONFIG: "/other" });
  assert.ok(bare.includes("MAIL_CONFIG=/other"));
  assert.ok(!bare.some((line) => line.startsWith("NAME=")));
});

/** A layout in a directory, with this manifest. */
function layoutWith(directory: TemporaryDirectory, manifest: string): Layout {
  const layout = makeLayout({ root: directory.path, prefix: "/opt", configDirectory: "/etc/postern" });
  Deno.mkdirSync(directory.at("opt/libexec/postern"), { recursive: true });
  directory.write("opt/libexec/postern/manifest.json", manifest);
  return layout;
}

Deno.test("A manifest that names what is not below the prefix removes nothing", () => {
  for (const path of ["/etc/passwd", "/", "/option/x", "/opt/../etc/passwd", "/opt/", "opt/x"]) {
    for (const part of ["files", "directories"]) {
      using directory = new TemporaryDirectory();
      const manifest = { files: [], directories: [], users: [], [part]: [path] };
      const layout = layoutWith(directory, JSON.stringify(manifest));
      assert.throws(() => removeInstalled(layout), InstallError, path);
      assert.ok(Deno.lstatSync(directory.at("opt/libexec/postern/manifest.json")).isFile);
    }
  }
});

Deno.test("A damaged manifest is refused", () => {
  for (const text of ["{}", "[]", '{"files":[1],"directories":[],"users":[]}', "{", ""]) {
    using directory = new TemporaryDirectory();
    const layout = layoutWith(directory, text);
    assert.throws(() => readManifest(layout), text);
  }
});

Deno.test("Uninstalling leaves directories in which there is something else", () => {
  using directory = new TemporaryDirectory();
  const manifest = {
    files: ["/opt/bin/a"],
    directories: ["/opt/bin", "/opt/lib", "/opt/lib/x"],
    users: ["u"],
  };
  const layout = layoutWith(directory, JSON.stringify(manifest));
  for (const path of ["opt/bin", "opt/lib/x"]) Deno.mkdirSync(directory.at(path), { recursive: true });
  directory.write("opt/bin/a", "");
  directory.write("opt/bin/b", "");
  assert.deepEqual(removeInstalled(layout), manifest);
  const left = tree(directory.at("opt")).map(({ path }) => path.slice(directory.path.length)).sort();
  assert.deepEqual(left, ["/opt/bin", "/opt/bin/b", "/opt/libexec", "/opt/libexec/postern"]);
});

/**
 * In denort's place, which no registry here has: what `deno compile` puts a program behind. Of the real one it copies
 * that it is an ELF program which ignores what was added to it, and what the dispatcher says without arguments.
 */
const STUB = `#include <stdio.h>
int main(void) { fputs("postern: fatal: no program is named\\n", stderr); return STATUS; }
`;

/** Compiles the stub; undefined where there is no compiler. */
async function makeStub(directory: TemporaryDirectory, status: number): Promise<string | undefined> {
  const source = directory.write("stub.c", STUB);
  const output = directory.at("stub");
  try {
    const made = await runTool("gcc", [`-DSTATUS=${status}`, "-o", output, source]);
    assert.equal(made.status, 0, made.errors);
    return output;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test("A package holds final paths, and compiled programs where there is a runtime for them", async (t) => {
  using directory = new TemporaryDirectory();
  const root = directory.at("package");
  const options = ["--root", root, "--prefix", "/opt/postern"];
  const stub = await makeStub(directory, 64);
  await t.step({
    name: "compiled programs are one file under every name",
    ignore: stub === undefined,
    async fn() {
      const done = await runInstaller(options, { DENORT_BIN: stub! });
      assert.equal(done.status, 0, done.errors);
      assert.match(done.output, /programs in \/opt\/postern\/sbin: compiled\n/);
      const postern = Deno.lstatSync(`${root}/opt/postern/sbin/postern`);
      const layout = makeLayout({ root, prefix: "/opt/postern", configDirectory: "/etc/postern" });
      for (const { path } of layout.programs) {
        const { ino, mode } = Deno.lstatSync(root + path);
        assert.deepEqual([ino, mode! & 0o7777], [postern.ino, 0o755], path);
      }
      assert.ok(!tree(root).some(({ path }) => path.includes(".compiled") || path.endsWith(".new")));
    },
  });
  await t.step("launchers take their place where a compiled program does not run", async () => {
    const other = await makeStub(directory, 0);
    const environment = other === undefined ? {} : { DENORT_BIN: other };
    const done = await runInstaller(
      other === undefined ? [...options, "--no-compile"] : options,
      environment,
    );
    assert.equal(done.status, 0, done.errors);
    if (other !== undefined) {
      assert.match(done.output, /not compiled: the compiled program does not run: status 0/);
    }
    assert.ok(Deno.readTextFileSync(`${root}/opt/postern/sbin/sendmail`).startsWith("#!/bin/sh\n"));
  });
  await t.step("nothing of the staging directory is in what was written", () => {
    for (const { path, info } of tree(root)) {
      if (info.isFile && info.size < 1024 * 1024) {
        assert.ok(!Deno.readTextFileSync(path).includes(root), path);
      }
    }
    const unit = Deno.readTextFileSync(`${root}/opt/postern/lib/systemd/system/postern.service`);
    assert.match(unit, /^ExecStart=\/opt\/postern\/libexec\/postern\/deno run -A /m);
    assert.match(unit, /^ReadWritePaths=\/var\/spool\/postern$/m);
    assert.match(unit, /^ProtectHome=read-only$/m);
    assert.match(unit, /^NoExecPaths=\/$/m);
    const socket = Deno.readTextFileSync(`${root}/opt/postern/lib/systemd/system/postern.socket`);
    assert.match(socket, /^ListenStream=(\[::\]|0\.0\.0\.0):25$/m);
  });
  await t.step("a main.toml that cannot be used stops the installation with its line", async () => {
    const main = `${root}/etc/postern/main.toml`;
    const text = Deno.readTextFileSync(main);
    Deno.writeTextFileSync(main, `no_such_parameter = "x"\n${text}`);
    const done = await runInstaller([...options, "--no-compile"]);
    assert.equal(done.status, 1);
    assert.match(done.errors, /Cannot install: configuration in .* cannot be used\n.*main\.toml:1: /);
    Deno.writeTextFileSync(main, text);
  });
  await t.step("uninstalling leaves configuration and queue only", async () => {
    const done = await runInstaller([...options, "--uninstall"]);
    assert.equal(done.status, 0, done.errors);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name).sort(), ["etc", "opt", "var"]);
    assert.deepEqual(tree(`${root}/opt`).map(({ path }) => path), []); // that one is above the prefix
    assert.ok(Deno.lstatSync(`${root}/var/spool/postern/incoming`).isDirectory);
  });
});
