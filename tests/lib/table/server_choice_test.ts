/** Which of a table's servers is asked, when a session is opened anew, and when a configuration is read again. */
import assert from "node:assert/strict";
import { CHECK_INTERVAL } from "../../../lib/table/reload.ts";
import { openTable } from "../../../lib/table/open.ts";
import type { SqlLogin, SqlRows, SqlSession, TableServers } from "../../../lib/table/servers.ts";
import { WAITING_LIMIT } from "../../../lib/table/sql_table.ts";
import type { Outcome } from "../../../lib/table/table.ts";
import { MemoryFiles, MemoryLog } from "./table_support.ts";

/** Database servers in memory, by host. */
class Databases implements TableServers {
  /** What each host does with a query: rows, an error that leaves the session whole, or "break". */
  readonly hosts = new Map<string, (query: string) => SqlRows | undefined | Error | "break">();
  readonly opened: string[] = [];
  readonly queries: string[] = [];
  open = 0;

  stream(): never {
    throw new Error("not used");
  }

  ldap(): never {
    throw new Error("not used");
  }

  mysql(login: SqlLogin): Promise<SqlSession> {
    const host = login.target.kind === "inet" ? login.target.host : login.target.path;
    this.opened.push(host);
    const answer = this.hosts.get(host);
    if (answer === undefined) return Promise.reject(new Error("connection refused"));
    this.open++;
    let broken = false;
    const end = () => {
      if (!broken) this.open--;
      broken = true;
    };
    return Promise.resolve({
      get broken() {
        return broken;
      },
      close: end,
      query: (text: string) => {
        this.queries.push(text);
        const result = this.hosts.get(host)?.(text) ?? "break";
        if (result instanceof Error) return Promise.reject(result);
        if (result !== "break") return Promise.resolve(result);
        end();
        return Promise.reject(new Error("connection lost"));
      },
    });
  }

  pgsql = this.mysql;
}

const rows = (value: string) => (): SqlRows => [[value]];
const config = (hosts: string, more = "") => `hosts = ${hosts}\ndbname = m\nquery = SELECT '%s'\n${more}`;

function open(text: string, databases: Databases) {
  const files = new MemoryFiles({ "/m.cf": text });
  const log = new MemoryLog();
  const table = openTable("mysql:/m.cf", { servers: databases, files, log });
  const ask = async (key = "k") => short(await table.lookup(key));
  return { table, files, log, ask };
}

const short = (outcome: Outcome) => outcome.kind === "found" ? outcome.value : outcome.kind;

Deno.test("a host that fails is left out for retry_interval, and another answers", async () => {
  const databases = new Databases();
  databases.hosts.set("good", rows("answer"));
  const { table, files, ask } = open(config("bad good", "retry_interval = 20\n"), databases);
  for (let i = 0; i < 50; i++) assert.equal(await ask(), "answer");
  assert.ok(databases.opened.filter((host) => host === "bad").length <= 1, databases.opened.join());
  assert.equal(databases.opened.filter((host) => host === "good").length, 1);
  databases.hosts.delete("good");
  assert.equal(await ask(), "retry");
  files.time += 20_000;
  databases.hosts.set("bad", rows("back"));
  assert.equal(await ask(), "back");
  table.close!();
  await Promise.resolve();
  assert.equal(databases.open, 0);
});

Deno.test("a host alone is asked again at once", async () => {
  const databases = new Databases();
  const { table, log, ask } = open(config("only"), databases);
  assert.equal(await ask(), "retry");
  databases.hosts.set("only", rows("answer"));
  assert.equal(await ask(), "answer");
  assert.deepEqual(log.lines, ["warning: table mysql:/m.cf: only:3306: connection refused"]);
  table.close!();
});

Deno.test("a session that died in its idleness is replaced once, and the query made again", async () => {
  const databases = new Databases();
  let answers: (SqlRows | "break")[] = [[["one"]], "break", [["two"]], "break", "break", [["three"]]];
  databases.hosts.set("h", () => answers.shift()!);
  const { table, ask } = open(config("h"), databases);
  assert.equal(await ask(), "one");
  assert.equal(await ask(), "two");
  assert.equal(await ask(), "retry");
  assert.equal(await ask(), "three");
  assert.equal(databases.open, 1);
  answers = [];
  table.close!();
});

Deno.test("a query that a server does not take is trouble, and neither its session's nor another server's", async () => {
  const databases = new Databases();
  databases.hosts.set("a", () => new Error("no such table"));
  databases.hosts.set("b", () => new Error("no such table"));
  const { table, ask } = open(config("a b"), databases);
  for (let i = 1; i <= 5; i++) {
    assert.equal(await ask(), "retry");
    assert.equal(databases.queries.length, i);
  }
  assert.equal(databases.open, new Set(databases.opened).size);
  table.close!();
});

Deno.test("many who ask at once share a session; more than the limit are told to come again", async () => {
  const databases = new Databases();
  databases.hosts.set("h", rows("answer"));
  const { table } = open(config("h"), databases);
  const all = await Promise.all(Array.from({ length: WAITING_LIMIT + 5 }, (_, i) => table.lookup(`k${i}`)));
  assert.equal(databases.opened.length, 1);
  const kinds = all.map(short);
  assert.equal(kinds.filter((kind) => kind === "answer").length, WAITING_LIMIT);
  assert.equal(kinds.filter((kind) => kind === "retry").length, 5);
  assert.equal(short(await table.lookup("k")), "answer");
  table.close!();
});

Deno.test("a changed configuration is taken over, and a bad one is not", async () => {
  const databases = new Databases();
  databases.hosts.set("old", rows("old answer"));
  databases.hosts.set("new", rows("new answer"));
  const { table, files, log, ask } = open(config("old"), databases);
  assert.equal(await ask(), "old answer");
  files.write("/m.cf", config("new"));
  assert.equal(await ask(), "old answer");
  files.time += CHECK_INTERVAL;
  assert.equal(await ask(), "new answer");
  assert.equal(databases.open, 1);
  files.write("/m.cf", "hosts = new\n");
  files.time += CHECK_INTERVAL;
  assert.equal(await ask(), "new answer");
  assert.match(
    log.lines.at(-1)!,
    /^error: .*"query" must be set -- going on with the content that was read before/,
  );
  table.close!();
});

Deno.test("a soft table whose configuration is missing answers retry until it is there", async () => {
  const databases = new Databases();
  databases.hosts.set("h", rows("answer"));
  const files = new MemoryFiles();
  const table = openTable("mysql:/m.cf", { servers: databases, files, soft: true });
  assert.equal(short(await table.lookup("k")), "retry");
  files.write("/m.cf", config("h"));
  assert.equal(short(await table.lookup("k")), "retry");
  files.time += CHECK_INTERVAL;
  assert.equal(short(await table.lookup("k")), "answer");
  table.close!();
});

Deno.test("debug: logs each look-up of the table that it stands before", async () => {
  const log = new MemoryLog();
  const table = openTable("debug:inline:{ a=b }", { log });
  assert.equal(short(await table.lookup("a")), "b");
  assert.equal(short(await table.lookup("x\n")), "missing");
  assert.deepEqual(log.lines, [
    'info: inline:{ a=b } lookup: "a" = found "b"',
    'info: inline:{ a=b } lookup: "x?" = not found',
  ]);
  assert.deepEqual([...table.entries!()], [["a", "b"]]);
});
