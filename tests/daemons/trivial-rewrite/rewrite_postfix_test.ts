/** Our answers beside those of Debian's trivial-rewrite, for generated addresses in many configurations. */
import assert from "node:assert/strict";
import type { RewriteService } from "../../../lib/rewrite/rewrite_service.ts";
import type { Attr0, Attributes } from "../../support/attr0.ts";
import { testNeeding } from "../../support/tools.ts";
import { CONFIGURATIONS } from "./rewrite_configurations.ts";
import { type Answer, DIFFERENCES } from "./rewrite_differences.ts";
import { makeOurs, RewritePeer } from "./rewrite_peer.ts";
import { makeQuestions, type Question } from "./rewrite_questions.ts";

const SEED = 20261128;
/** Random addresses of each kind for each configuration, beside the fixed ones. */
const RANDOM_ADDRESSES = 12;

const RESOLVE_ROUTED = 2;
const RESOLVE_ERROR = 4;
const RESOLVE_FAIL = 8;
/** The bits of Postfix's resolve_clnt.h that say the class. */
const CLASSES: ReadonlyMap<number, string> = new Map([
  [256, "local"],
  [512, "alias"],
  [1024, "virtual"],
  [2048, "relay"],
  [4096, "default"],
]);

async function askTheirs(client: Attr0, question: Question): Promise<Answer> {
  const { kind, address } = question;
  const reply = kind === "rewrite"
    ? await client.ask("request", kind, "rule", question.context, "address", address)
    : await client.ask("request", kind, "sender", question.sender, "address", address);
  const value = (name: string) => attribute(reply, name);
  if (kind === "rewrite") return { state: "address", address: value("address") };
  const flags = Number(reply.at(-1)?.[1]);
  const recipient = value("recipient");
  if ((flags & RESOLVE_FAIL) !== 0) return { state: "retry", recipient };
  if ((flags & RESOLVE_ERROR) !== 0) return { state: "bad", recipient };
  return {
    state: "resolved",
    transport: value("transport"),
    nexthop: value("nexthop"),
    recipient,
    class: CLASSES.get(flags & 0x1f00) ?? `flags ${flags}`,
    routed: (flags & RESOLVE_ROUTED) !== 0,
  };
}

function attribute(reply: Attributes, name: string): string {
  const found = reply.find(([key]) => key === name);
  assert.ok(found, `Postfix's answer has no ${name}`);
  return found[1];
}

async function askOurs(service: RewriteService, question: Question): Promise<Answer> {
  if (question.kind === "rewrite") {
    return { state: "address", address: service.rewrite(question.context, question.address) };
  }
  const answer = await service.resolve(question.sender, question.address);
  if (answer.kind === "retry") return { state: "retry", recipient: question.address };
  const { transport, nexthop, recipient, class: kind, routed, bad } = answer.resolution;
  if (bad) return { state: "bad", recipient };
  return { state: "resolved", transport, nexthop, recipient, class: kind, routed };
}

/** Two bad addresses are the same whatever is shown of them, and so is trouble. */
function isSame(ours: Answer, theirs: Answer): boolean {
  if (ours.state === "bad" || ours.state === "retry") return ours.state === theirs.state;
  return JSON.stringify(ours) === JSON.stringify(theirs);
}

testNeeding(
  ["postfix", "root"],
  "Debian's trivial-rewrite gives the same answers in every configuration, but for the listed differences",
  async () => {
    const differing = new Map(DIFFERENCES.map(({ title }) => [title, 0]));
    let same = 0;
    await using peer = await RewritePeer.start(CONFIGURATIONS);
    for (const [index, [name, parameters]] of Object.entries(CONFIGURATIONS).entries()) {
      const service = makeOurs(parameters);
      const client = await peer.connect(name);
      for (const question of makeQuestions(SEED + index, RANDOM_ADDRESSES)) {
        const theirs = await askTheirs(client, question);
        const ours = await askOurs(service, question);
        if (isSame(ours, theirs)) same++;
        else {
          const row = DIFFERENCES.find((one) => one.explains(question, ours, theirs));
          const shown = JSON.stringify({ configuration: name, question, ours, theirs }, undefined, 1);
          assert.ok(row !== undefined, `no listed difference explains\n${shown}\n${peer.logEnd()}`);
          differing.set(row.title, differing.get(row.title)! + 1);
        }
      }
      client.close();
    }
    assert.ok(same > 5000, `${same} answers were the same`);
    for (const [title, count] of differing) assert.ok(count > 0, `nothing differs any more: ${title}`);
  },
);

Deno.test("docs/differences.md lists what trivial-rewrite does otherwise than Postfix", () => {
  const page = Deno.readTextFileSync(new URL("../../../docs/differences.md", import.meta.url));
  const rows = page.split("\n").filter((line) => line.startsWith("| "));
  for (const { title } of DIFFERENCES) assert.ok(rows.some((row) => row.startsWith(`| ${title}`)), title);
});
