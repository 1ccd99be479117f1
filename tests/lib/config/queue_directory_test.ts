import assert from "node:assert/strict";
import { loadConfiguration } from "../../../lib/config/configuration.ts";
import { formatProblem } from "../../../lib/config/problem.ts";

const FACTS = { hostName: "mx.test", addresses: [], resolver: "127.0.0.1:53", ipv6: false };

const MASTER = '[[service]]\nname = "smtp"\ntype = "unix"\ncommand = "smtp"\n';

/** The errors in a configuration with this line. */
function problems(line: string): string[] {
  const files = new Map([["/conf/main.toml", `mynetworks = []\n${line}\n`], ["/conf/master.toml", MASTER]]);
  const options = { readText: (path: string) => files.get(path)!, commands: ["smtp"] };
  const { problems } = loadConfiguration("/conf", FACTS, options);
  return problems.filter(({ severity }) => severity === "error").map(formatProblem);
}

Deno.test("a queue directory that Deno keeps from daemons is refused, with the place and the cure", () => {
  for (const path of ["/dev/shm/queue", "/dev", "/proc/self", "/sys/x", "/tmp/../dev/shm/q", "//dev/shm"]) {
    const [problem, ...more] = problems(`queue_directory = "${path}"`);
    assert.match(
      problem!,
      /^error: \/conf\/main\.toml:2: "queue_directory": no daemon may use "\/(dev|proc|sys)/,
      path,
    );
    assert.match(problem!, /\(use a directory on an ordinary file system/);
    assert.deepEqual(more, []);
  }
});

Deno.test("other queue directories are taken", () => {
  for (const path of ["/var/spool/postern", "/device/q", "/home/dev/q", "/systems"]) {
    assert.deepEqual(problems(`queue_directory = "${path}"`), [], path);
  }
});
