/** The layer order of STYLE.md, held by the imports of every file. @module */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readImports, ROOT, type SourceFile, sourceFiles } from "./source_files.ts";

/** Folders from the ground up. A file imports from lower levels and from its own folder, nothing else. */
const LEVELS: readonly (readonly string[])[] = [
  ["lib/vstring"],
  ["lib/safe"],
  ["lib/log"],
  ["lib/config", "lib/stream"],
  ["lib/table", "lib/ipc"],
  ["lib/mail"],
  ["lib/proto"],
  ["lib/tls", "lib/sasl"],
  ["lib/smtp", "lib/dns", "lib/milter", "lib/access", "lib/maps", "lib/rewrite"],
  ["lib/filter"],
  ["lib/server"],
  ["daemons", "commands"],
  ["main.ts", "scripts", "bench"],
];

/** What every command and master read: the list of all daemons' declarations. */
const LIST_OF_SERVICES = "daemons/services.ts";

const FILES = sourceFiles("lib", "daemons", "commands", "scripts", "bench", "main.ts");

/** The unit that a file belongs to: "lib/safe", "daemons/qmgr", "commands". */
function unitOf(path: string): string {
  const parts = path.split("/");
  if (parts.length === 1) return path;
  return parts[0] === "lib" || (parts[0] === "daemons" && parts.length > 2)
    ? parts.slice(0, 2).join("/")
    : parts[0]!;
}

function levelOf(path: string): number {
  const unit = unitOf(path);
  const name = unit.startsWith("daemons/") ? "daemons" : unit;
  return LEVELS.findIndex((level) => level.includes(name));
}

/** What is wrong with an import, or an empty string. */
function objection(from: string, to: string): string {
  const [own, other] = [unitOf(from), unitOf(to)];
  if (own === other) return "";
  if (to === LIST_OF_SERVICES) {
    return levelOf(from) >= levelOf("daemons/x/y.ts") ? "" : "only daemons and commands read the list";
  }
  if (from === LIST_OF_SERVICES) {
    return to.endsWith("/service.ts") || levelOf(to) < levelOf(from) ? "" : "imports more than a declaration";
  }
  if (own.startsWith("daemons/") && other.startsWith("daemons/")) return "daemons meet in messages only";
  return levelOf(to) < levelOf(from) ? "" : `level ${levelOf(to)} is not below level ${levelOf(from)}`;
}

Deno.test("every folder of code has its level", () => {
  const without = FILES.filter(({ path }) => !path.startsWith("lib/std/") && levelOf(path) < 0).map((
    { path },
  ) => path);
  assert.deepEqual(without, []);
});

Deno.test("imports go down the levels or stay in their folder", () => {
  const found: string[] = [];
  for (const { path, imports } of FILES) {
    if (path.startsWith("lib/std/")) continue;
    for (const { target } of imports) {
      const why = target === undefined ? "" : objection(path, target);
      if (why !== "") found.push(`${path} imports ${target}: ${why}`);
    }
  }
  assert.deepEqual(found, []);
});

Deno.test("lib/std stands alone, as the packages that it stands in for do", () => {
  const found = FILES.filter(({ path }) => path.startsWith("lib/std/")).flatMap(({ path, imports }) =>
    imports.filter(({ target }) =>
      target !== undefined && !target.startsWith(`${path.split("/").slice(0, 3).join("/")}/`)
    )
      .map(({ target }) => `${path} imports ${target}`)
  );
  const entering = FILES.filter(({ path }) => !path.startsWith("lib/std/")).flatMap(({ path, imports }) =>
    imports.filter(({ target }) => target?.startsWith("lib/std/")).map(({ target }) =>
      `${path} imports ${target}`
    )
  );
  assert.deepEqual([...found, ...entering], []);
});

Deno.test("every file that is imported exists, and imports are found", () => {
  const targets = FILES.flatMap(({ path, imports }) => imports.map(({ target }) => [path, target] as const));
  const lost = targets.filter(([, target]) => target !== undefined && !existsSync(ROOT + target));
  assert.deepEqual(lost, []);
  assert.ok(targets.length > 5 * FILES.length / 2, `${targets.length} imports in ${FILES.length} files`);
});

Deno.test("no imports form a cycle at run time", () => {
  assert.deepEqual(cycles(FILES), []);
});

/** The cycles of imports that are more than types, each once. */
function cycles(files: readonly SourceFile[]): string[] {
  const edges = new Map(files.map(({ path, imports }) => [
    path,
    imports.filter(({ typeOnly, target, dynamic }) => !typeOnly && !dynamic && target !== undefined).map((
      { target },
    ) => target!),
  ]));
  const found = new Set<string>();
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      const ring = trail.slice(at);
      const first = ring.indexOf([...ring].sort()[0]!);
      found.add([...ring.slice(first), ...ring.slice(0, first), ring[first]].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) walk(path, []);
  return [...found];
}

Deno.test("service.ts is data: it imports types and nothing else", () => {
  const found = FILES.filter(({ path }) => path.endsWith("/service.ts") && path.startsWith("daemons/"))
    .flatMap((
      { path, imports },
    ) => imports.filter(({ typeOnly }) => !typeOnly).map(({ specifier }) => `${path} imports ${specifier}`));
  assert.deepEqual(found, []);
});

Deno.test("the reader of imports sees every form and no comment", () => {
  const text = `
import assert from "node:assert/strict";
import type { A } from "./a.ts";
import { b, type B } from "./b.ts";
import * as c from "../c.ts";
import "./d.ts";
export { e } from "./e.ts";
export * from "./f.ts";
export type { G } from "./g.ts";
// import { no } from "./no1.ts";
/* import { no } from "./no2.ts"; */
const text = 'import { no } from "./no3.ts"';
const later = await import("./h.ts");
import {
  many,
  lines,
} from "./i.ts";
const url = "https://x"; import { j } from "./j.ts";
`;
  const found = readImports("lib/x/y.ts", text).map(({ specifier, typeOnly, dynamic }) =>
    `${specifier}${typeOnly ? " type" : ""}${dynamic ? " dynamic" : ""}`
  );
  assert.deepEqual(found.sort(), [
    "../c.ts",
    "./a.ts type",
    "./b.ts",
    "./d.ts",
    "./e.ts",
    "./f.ts",
    "./g.ts type",
    "./h.ts dynamic",
    "./i.ts",
    "./j.ts",
    "node:assert/strict",
  ]);
  assert.equal(readImports("lib/x/y.ts", 'import "../z/q.ts";')[0]!.target, "lib/z/q.ts");
});

Deno.test("the cycle finder finds a cycle and leaves types out", () => {
  const file = (path: string, text: string): SourceFile => ({ path, text, imports: readImports(path, text) });
  assert.deepEqual(
    cycles([
      file("a/x.ts", 'import "./y.ts";'),
      file("a/y.ts", 'import "./z.ts";'),
      file("a/z.ts", 'import "./y.ts";'),
    ]),
    [
      "a/y.ts -> a/z.ts -> a/y.ts",
    ],
  );
  assert.deepEqual(
    cycles([file("a/x.ts", 'import "./y.ts";'), file("a/y.ts", 'import type { X } from "./x.ts";')]),
    [],
  );
});

Deno.test("the rule refuses what it should", () => {
  assert.notEqual(objection("lib/safe/file.ts", "lib/log/log.ts"), "");
  assert.notEqual(objection("lib/config/x.ts", "lib/stream/x.ts"), "");
  assert.notEqual(objection("daemons/qmgr/main.ts", "daemons/smtp/main.ts"), "");
  assert.notEqual(objection("lib/server/x.ts", LIST_OF_SERVICES), "");
  assert.notEqual(objection("commands/x.ts", "daemons/qmgr/qmgr_queue.ts"), "");
  assert.equal(objection("daemons/qmgr/main.ts", "lib/server/daemon.ts"), "");
  assert.equal(objection("commands/start.ts", LIST_OF_SERVICES), "");
});
