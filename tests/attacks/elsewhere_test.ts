/**
 * Classes CRT, FLT and DEN of the security cases: certificates of the servers that mail goes to, faults of disks and
 * processes, and ways out of the sandbox. Their tests stand where what they test is; this says which they are.
 *
 * @module
 */
import assert from "node:assert/strict";
import { CLASSES, faultsOf, testEveryCase } from "./cases.ts";

const PEERS = "tests/attacks/peers/tls_test.ts";
const NAMES = "tests/lib/tls/client_names_test.ts";
const FLAGS = "tests/commands/sandbox_test.ts: sandbox --verify passes for every service and helper";
const CAMPAIGN = "tests/faults/campaign_test.ts: whatever is killed, nothing that got its 250 is lost";
const EACH_FAULT =
  "tests/faults/scripted_test.ts: with one file operation that fails or falls short, nothing is lost";
const EACH_STOP = "tests/faults/scripted_test.ts: stopped at each file operation, the system loses nothing";
const POWER =
  "tests/faults/scripted_test.ts: after a power cut at any place, whatever of the unsynced is missing, all promises hold";
const MACHINE = "tests/faults/machine_test.ts";
const CLEANUP = "tests/daemons/cleanup/cleanup_disk_test.ts";
const QMGR = "tests/daemons/qmgr/qmgr_manager_test.ts";

testEveryCase("CRT", {}, {
  "CRT-01": `${NAMES}: ["*.example.test", "mx.example.test", true]`,
  "CRT-02": `${NAMES}: a wildcard stands for one label (CRT-02)`,
  "CRT-04": `${NAMES}: CRT-04: `,
  "CRT-05": `${NAMES}: CRT-05: `,
  "CRT-07":
    `${PEERS}: CRT-07: an expired certificate at level verify; CRT-07: an expired certificate at level may`,
  "CRT-08": `${PEERS}: CRT-08: `,
  "CRT-10": `${PEERS}: (CRT-10); CRT-10: STARTTLS is refused, level encrypt`,
  "CRT-11": `${PEERS}: level may: young mail waits; level may: old mail goes in the clear, once`,
  "CRT-13": "tests/lib/smtp/client_tls_policy_test.ts: CRT-13: ",
  "CRT-14": `${NAMES}: CRT-14: `,
  "CRT-16": "tests/lib/safe/tls_client_test.ts: CRT-16: a server with old versions only",
  "CRT-17": "tests/commands/sandbox_test.ts: --unsafely-ignore-certificate-errors=x; " +
    "tests/scripts/install_test.ts: an installed program takes nothing of the environment but what it reads",
});

testEveryCase("FLT", {}, {
  "FLT-01": CAMPAIGN,
  "FLT-02": CAMPAIGN,
  "FLT-04": `${CLEANUP}: before the name is given`,
  "FLT-05": `${CLEANUP}: while the answer is sent`,
  "FLT-07": `${CAMPAIGN}; ${EACH_STOP}`,
  "FLT-08": CAMPAIGN,
  "FLT-10": `${EACH_STOP}; tests/lib/mail/mailbox_mbox_test.ts: A message behind`,
  "FLT-11": `${CAMPAIGN}; ${QMGR}: a bounce of which only the mark was made before a crash`,
  "FLT-13": CAMPAIGN,
  "FLT-14": "tests/daemons/master/master_process_test.ts: are replaced after use, and are killed when silent",
  "FLT-16": `${EACH_FAULT}; ${MACHINE}: queue, log and mailboxes on one disk that fills up`,
  "FLT-17": "tests/lib/mail/mailbox_full_disk_test.ts: A full disk defers with 4.3.0",
  "FLT-19": `${MACHINE}: daemons that run out of descriptors answer 4xx, lose nothing and recover`,
  "FLT-20": `${MACHINE}: daemons that run out of memory are replaced, and nothing is lost; ` +
    "tests/daemons/qmgr/qmgr_poison_test.ts: a message that ends its agent goes to hold",
  "FLT-22":
    `${EACH_FAULT}; tests/lib/mail/queue_journal_test.ts: a sync that fails is told to those who waited for it`,
  "FLT-23": EACH_FAULT,
  "FLT-25": `${MACHINE}: a queue that became read-only: the start says so; ` +
    "tests/faults/scripted_test.ts: with a disk that is full or read-only from some operation on",
  "FLT-26": EACH_FAULT,
  "FLT-28":
    `${POWER}; tests/faults/crash_states_test.ts: crash-states: a run of the real daemons survives power cuts`,
  "FLT-29": `${POWER}; tests/lib/mail/queue_journal_test.ts: a segment that is cut at any byte`,
  "FLT-31": `${EACH_STOP}; ${QMGR}: a bounce that could not be sent is sent at the next attempt`,
  "FLT-32": `${MACHINE}: a spool full of torn, foreign and hostile files; ` +
    "tests/lib/mail/queue_journal_test.ts: a flipped bit ends the reading at its entry",
  "FLT-34": "tests/faults/clock_test.ts: the clock steps a day ahead, back, and another day back; " +
    "tests/daemons/qmgr/qmgr_scan_test.ts: dated in the future is delivered, its time set right",
  "FLT-35": "tests/daemons/qmgr/qmgr_scan_test.ts: dated in the future is delivered, its time set right",
  "FLT-37": "tests/attacks/peers/cases_test.ts: CLI-10; tests/attacks/peers/replies_test.ts: CLI-16: ",
  "FLT-38": "tests/attacks/peers/cases_test.ts: CLI-10",
  "FLT-40": `${QMGR}: with the bounce service away a failed recipient is deferred, unmarked; ` +
    "with the defer service away a deferred recipient stays in the file",
  "FLT-41": "tests/lib/server/prepare_queue_test.ts: the lock is one master's",
  "FLT-43": "tests/attacks/relay_test.ts: REL-41: a table that cannot say what is ours refuses softly",
  "FLT-44": "tests/daemons/smtpd/smtpd_milter_test.ts: FLT-44: ; " +
    "tests/lib/access/policy_server_test.ts: is answered for by the default action",
  "FLT-46":
    "tests/lib/mail/queue_file_test.ts: size records of older releases have fewer numbers; an unknown record",
  "FLT-47": "tests/lib/log/log_test.ts: a broken one given up; " +
    `${MACHINE}: a log that is moved away stops nothing`,
  "FLT-49": "tests/faults/descriptors_test.ts: descriptors that master's parent left open reach no daemon; " +
    "started without standard descriptors, no process has a file of the queue",
  "FLT-50": `tests/commands/start_stop_test.ts: no process is left; ${QMGR}: after stop no delivery begins`,
});

const PROBE = "lib/server/probe.ts";

testEveryCase("DEN", {}, {
  ...Object.fromEntries(
    ["01", "05", "08", "10", "11", "13", "14", "16", "17", "19"]
      .map((number) => [`DEN-${number}`, `${FLAGS}; ${PROBE}: "DEN-${number}"`]),
  ),
  "DEN-02":
    "tests/commands/sandbox_test.ts: DEN-02, DEN-04: code from elsewhere is refused before a packet leaves",
  "DEN-04":
    "tests/commands/sandbox_test.ts: DEN-02, DEN-04: code from elsewhere is refused before a packet leaves",
  "DEN-07": `${FLAGS}; ${PROBE}: "DEN-07"; ` +
    "tests/daemons/program/program_process_test.ts: A program gets the text, its directory and its environment",
  "DEN-20": "tests/commands/sandbox_test.ts: looks for package maps; lib/server/probe_runner.ts: DEN-20",
  "DEN-22": "tests/system/audit_test.ts: the daemons use what they declare, and declare what they use",
  "DEN-23": "own test: the runtime's broker",
  "DEN-25":
    "tests/scripts/install_test.ts: the system runs with the rights and system calls that the unit leaves it",
  "DEN-26": "tests/commands/sandbox_test.ts: sandbox --verify passes for every service and helper",
  "DEN-28": "tests/commands/sandbox_test.ts: DEN-28: flags; sandbox prints every grant with its cause",
});

Deno.test("DEN-23: a permission broker that is not there ends the runtime before it runs anything", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "console.log('ran')"],
    env: { DENO_PERMISSION_BROKER_PATH: "/nonexistent/broker", DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  assert.notEqual(code, 0);
  assert.equal(new TextDecoder().decode(stdout), "");
});

Deno.test("every class of the security cases is accounted for by a test of this folder", () => {
  const named = new Set<string>();
  const walk = (folder: URL) => {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (isDirectory) walk(new URL(`${name}/`, folder));
      else if (name.endsWith("_test.ts")) {
        const text = Deno.readTextFileSync(new URL(name, folder));
        for (const [, one] of text.matchAll(/testEveryCase\(\s*"([A-Z]{3})"/g)) named.add(one!);
        // Classes that share a file are named by the keys of its table.
        for (const [, one] of text.matchAll(/^ {2}([A-Z]{3}): \{$/gm)) named.add(one!);
      }
    }
  };
  walk(new URL("./", import.meta.url));
  assert.deepEqual([...CLASSES].filter((name) => !named.has(name)), []);
});

Deno.test("an account of a test that is not there is told", () => {
  const here = "tests/attacks/elsewhere_test.ts";
  for (
    const [where, faults] of [
      ["tests/attacks/nowhere_test.ts", 1],
      ["tests/attacks/nowhere_test.ts: x", 1],
      [`${here}: ${["no", "such", "test"].join(" ")}`, 1],
      [`${here}: an account of a test that is not there is told`, 0],
      [`${here}: an account of a test; that is not there is told`, 0],
      ["somewhere", 1],
      ["own test: none", 1],
      ["does not apply: it does not", 0],
    ] as const
  ) assert.equal(faultsOf("XXX-00", where).length, faults, where);
});
