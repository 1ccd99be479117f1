/** deno.json: the standard library's packages by their jsr names, served from the tree. @module */
import assert from "node:assert/strict";
import { ROOT } from "./source_files.ts";

interface Package {
  name: string;
  version: string;
  exports: Record<string, string>;
}

const CONFIGURATION = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as {
  tasks: Record<string, string>;
  imports: Record<string, string>;
  links: string[];
  compilerOptions: Record<string, unknown>;
};

const PACKAGES = ["cli", "fs", "log", "path", "toml"];

Deno.test("the five packages are declared by their jsr names, with a range that the linked version is in", () => {
  for (const name of PACKAGES) {
    const declared = CONFIGURATION.imports[`@std/${name}`] ?? "";
    const match = /^jsr:@std\/(\w+)@\^(\d+)\.(\d+)\.(\d+)$/.exec(declared);
    assert.ok(match, `${name}: ${declared}`);
    assert.equal(match[1], name);
    const linked = JSON.parse(Deno.readTextFileSync(`${ROOT}lib/std/${name}/deno.json`)) as Package;
    assert.equal(linked.name, `@std/${name}`);
    const [major, minor] = linked.version.split(".").map(Number);
    assert.equal(String(major), match[2], `${name} ${linked.version}`);
    // Below 1.0.0 the minor number stands for the major one.
    if (major === 0) assert.equal(String(minor), match[3]);
    else assert.ok(minor! >= Number(match[3]));
    for (const path of Object.values(linked.exports)) {
      assert.ok(Deno.statSync(`${ROOT}lib/std/${name}/${path}`).isFile);
    }
  }
});

Deno.test("the links are these five and nothing else, and no other package comes from jsr", () => {
  assert.deepEqual([...CONFIGURATION.links].sort(), PACKAGES.map((name) => `./lib/std/${name}`));
  const others = Object.entries(CONFIGURATION.imports).filter(([name]) => !name.startsWith("@std/"));
  // An exact version: what runs is what was read.
  for (const [name, value] of others) assert.match(value, /^npm:(@?[\w/-]+)@\d+\.\d+\.\d+$/, name);
  assert.equal(Object.keys(CONFIGURATION.imports).length, others.length + PACKAGES.length);
});

Deno.test("the compiler is strict, and the README's tasks exist", () => {
  for (
    const option of ["strict", "noUncheckedIndexedAccess", "exactOptionalPropertyTypes", "noImplicitOverride"]
  ) {
    assert.equal(CONFIGURATION.compilerOptions[option], true, option);
  }
  for (const task of ["trial", "test", "check", "fmt", "lint", "bench", "install"]) {
    const script = /deno run -A (\S+)/.exec(CONFIGURATION.tasks[task] ?? "")?.[1];
    assert.ok(CONFIGURATION.tasks[task], task);
    if (script !== undefined) assert.ok(Deno.statSync(ROOT + script).isFile, script);
  }
});

Deno.test("the lock file names every npm package by its checksum and nothing from elsewhere", () => {
  const lock = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.lock`)) as {
    npm?: Record<string, { integrity?: string }>;
    jsr?: Record<string, unknown>;
    remote?: Record<string, unknown>;
  };
  for (const [name, { integrity }] of Object.entries(lock.npm ?? {})) {
    assert.match(integrity ?? "", /^sha512-/, name);
  }
  assert.equal(lock.jsr, undefined);
  assert.equal(lock.remote, undefined);
  for (const value of Object.values(CONFIGURATION.imports)) {
    if (value.startsWith("npm:")) {
      assert.ok(
        Object.keys(lock.npm ?? {}).some((name) => {
          // Behind an underscore the lock names the peers that a package was resolved with.
          return `npm:${name}` === value || name.startsWith(`${value.slice("npm:".length)}_`);
        }),
        value,
      );
    }
  }
});
