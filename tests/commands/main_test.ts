import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readRequest, type Request, usage } from "../../main.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const REQUESTS: readonly {
  readonly name: string;
  readonly invokedAs?: string;
  readonly args: readonly string[];
  readonly environment?: string;
  readonly expect: Request;
}[] = [
  {
    name: "the first word is the program, the rest is its own",
    args: ["postqueue", "-p"],
    expect: { kind: "program", name: "postqueue", configDirectory: "/etc/postern", args: ["-p"] },
  },
  {
    name: "-c before the program names the configuration",
    args: ["-c", "/srv/conf", "status"],
    expect: { kind: "program", name: "status", configDirectory: "/srv/conf", args: [] },
  },
  {
    name: "a relative configuration directory starts from where we are",
    args: ["-c", "../conf", "status"],
    expect: { kind: "program", name: "status", configDirectory: "/home/conf", args: [] },
  },
  {
    name: "-c behind the program is the program's",
    args: ["sendmail", "-c", "x"],
    expect: { kind: "program", name: "sendmail", configDirectory: "/etc/postern", args: ["-c", "x"] },
  },
  {
    name: "MAIL_CONFIG names the configuration",
    args: ["status"],
    environment: "/srv/mail",
    expect: { kind: "program", name: "status", configDirectory: "/srv/mail", args: [] },
  },
  {
    name: "-c counts before MAIL_CONFIG",
    args: ["-c", "/srv/conf", "status"],
    environment: "/srv/mail",
    expect: { kind: "program", name: "status", configDirectory: "/srv/conf", args: [] },
  },
  {
    name: "a program installed under its own name needs no word for it",
    invokedAs: "sendmail",
    args: ["-t"],
    expect: { kind: "program", name: "sendmail", configDirectory: "/etc/postern", args: ["-t"] },
  },
  { name: "no program", args: [], expect: { kind: "wrong", why: "no program is named" } },
  {
    name: "-c without a directory",
    args: ["-c"],
    expect: { kind: "wrong", why: "option -c needs a directory" },
  },
  {
    name: "an unknown program brings the nearest name",
    args: ["postqueu"],
    expect: { kind: "wrong", why: 'there is no program "postqueu": did you mean "postqueue"?' },
  },
  {
    name: "a program with no likeness brings no name",
    args: ["frobnicate"],
    expect: { kind: "wrong", why: 'there is no program "frobnicate"' },
  },
  {
    name: "a name of an object's own properties is no program",
    args: ["constructor"],
    expect: { kind: "wrong", why: 'there is no program "constructor"' },
  },
];

for (const { name, invokedAs, args, environment, expect } of REQUESTS) {
  Deno.test(`command line: ${name}`, () => {
    assert.deepEqual(readRequest(invokedAs ?? "deno", args, environment, "/home/me"), expect);
  });
}

Deno.test("every program of the list has its file in commands/", () => {
  const names = usage().split("\n").slice(2).map((line) => line.split(" ").filter((word) => word !== "")[0])
    .filter((name) => name !== undefined);
  assert.ok(names.length > 15, `${names.length} programs`);
  for (const name of names) {
    assert.ok(existsSync(`${ROOT}commands/${name.replaceAll("-", "_")}.ts`), `commands/ has no ${name}`);
  }
});

Deno.test("an unknown program ends with status 64 and the list of programs", () => {
  const done = new Deno.Command(Deno.execPath(), { args: ["run", "-A", `${ROOT}main.ts`, "statsu"] })
    .outputSync();
  const errors = new TextDecoder().decode(done.stderr);
  assert.equal(done.code, 64);
  assert.match(errors, /^postern: fatal: there is no program "statsu": did you mean "status"\?\n/);
  assert.match(errors, /\n {2}trial +runs a mail system to try/);
});

Deno.test("a program's error is one line with its name, and its status", () => {
  const args = ["run", "-A", `${ROOT}main.ts`, "-c", "/nowhere", "status"];
  const done = new Deno.Command(Deno.execPath(), { args }).outputSync();
  const errors = new TextDecoder().decode(done.stderr).trim().split("\n");
  assert.equal(done.code, 1);
  assert.equal(errors.at(-1), "status: fatal: configuration in /nowhere cannot be used");
});
