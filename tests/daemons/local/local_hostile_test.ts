import assert from "node:assert/strict";
import { type Installation } from "../../scripts/install_support.ts";
import { filesBelow } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";
import { idOf, type PeerCase, PeerUsers, runOnPostern } from "./local_peer_support.ts";

/** Homes of users who mean harm, as root with real users: FSX, LOP and LOC of the security cases. */

/** A case, and what must come of it: status and result of each line of the log. */
interface HostileCase extends PeerCase {
  readonly expected: readonly string[];
}

const VICTIM = "root's own\n";

const CASES: readonly HostileCase[] = [
  {
    name: "FSX-01: a spool file that is a link to a file of root's",
    to: ["bob@local.test"],
    shell: "ln -s $OUT/victim $BOXES/$BOB",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "FSX-02: a home mailbox that is a hard link to a file of root's",
    to: ["bob@plain.test"],
    shell: "ln $OUT/victim $HOME_BOB/Mailbox",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "FSX-05: a spool file that somebody else made beforehand",
    to: ["carol@local.test"],
    shell: "echo x > $BOXES/$CAROL; chown $BOB $BOXES/$CAROL; chmod 666 $BOXES/$CAROL",
    expected: ["4.2.0 deferred"],
  },
  {
    name: "FSX-08: a folder of a Maildir that is a link to another's",
    to: ["bob@maildir.test"],
    shell: "mkdir -p $HOME_CAROL/Maildir/new $HOME_BOB/Maildir/tmp $HOME_BOB/Maildir/cur; " +
      "ln -s $HOME_CAROL/Maildir/new $HOME_BOB/Maildir/new; chown -R $BOB $HOME_BOB/Maildir; chown -R $CAROL $HOME_CAROL/Maildir",
    expected: ["4.2.0 deferred"],
  },
  {
    name: "FSX-10: a .forward that is a hard link to a file of root's",
    to: ["alice+$id@local.test"],
    shell:
      "echo secret@remote.test > $OUT/$ID.secret; chmod 600 $OUT/$ID.secret; ln $OUT/$ID.secret $HOME_ALICE/.forward+$ID",
    expected: ["2.0.0 sent"],
  },
  {
    name: "a .forward that is a link to a file of root's",
    to: ["alice+$id@local.test"],
    shell: "ln -s /etc/shadow $HOME_ALICE/.forward+$ID",
    expected: ["2.0.0 sent"],
  },
  {
    name: "a .forward that is a FIFO",
    to: ["alice+$id@local.test"],
    shell: "mkfifo $HOME_ALICE/.forward+$ID; chown $ALICE $HOME_ALICE/.forward+$ID",
    expected: ["2.0.0 sent"],
  },
  {
    name: "a .forward in a directory that is a link away",
    to: ["alice+$id@local.test"],
    shell: "mkdir $OUT/$ID.d; ln -s $OUT/$ID.d $HOME_ALICE/.forward+$ID",
    expected: ["2.0.0 sent"],
  },
  {
    name: "a file of root's as the target of a user's .forward",
    forwards: { alice: "$out/victim\n" },
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a link to a file of root's as the target",
    forwards: { alice: "~/$id.link\n" },
    shell: "ln -s $OUT/victim $HOME_ALICE/$ID.link",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a dangling link as the target",
    forwards: { alice: "~/$id.link\n" },
    shell: "ln -s $OUT/$ID.new $HOME_ALICE/$ID.link",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a FIFO as the target",
    forwards: { alice: "~/$id.fifo\n" },
    shell: "mkfifo $HOME_ALICE/$ID.fifo; chown $ALICE $HOME_ALICE/$ID.fifo",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a set-uid file as the target",
    forwards: { alice: "~/$id.suid\n" },
    shell:
      "cp /bin/true $HOME_ALICE/$ID.suid; chown $ALICE $HOME_ALICE/$ID.suid; chmod 4755 $HOME_ALICE/$ID.suid",
    expected: ["5.7.1 bounced"],
  },
  {
    name: "a directory in the way of the mailbox's lock",
    forwards: { alice: "~/$id.box\n" },
    shell: "mkdir $HOME_ALICE/$ID.box.lock",
    expected: ["4.2.0 deferred"],
  },
  {
    name: "another user's home as the target",
    forwards: { alice: "$bobhome/$id.box\n" },
    shell: "chmod 700 $HOME_BOB",
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a path with .. as the target",
    forwards: { alice: "~/../../etc/cron.d/$id\n" },
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a device as the target",
    forwards: { alice: "/dev/full\n" },
    expected: ["5.2.0 bounced"],
  },
  {
    name: "a command runs as its user, whatever other uids it finds",
    forwards: { alice: '"|{ id -u; id -G; ls /root 2>&1 | head -1; touch $out/$id.by; } > $out/$id.id"\n' },
    expected: ["2.0.0 sent"],
  },
  {
    name: "a command of another's file is that file's, not the reader's",
    forwards: { alice: ":include:$out/$id.list\n" },
    shell:
      "echo '\"|id -un > $OUT/$ID.who\"' > $OUT/$ID.list; sed -i s,.OUT,$OUT,\\;s,.ID,$ID, $OUT/$ID.list; chown $BOB $OUT/$ID.list",
    to: ["alice+$id@lists.test"],
    expected: ["2.0.0 sent"],
  },
  {
    name: "a list that is too long",
    forwards: { alice: ":include:$out/$id.list\n" },
    shell: "head -c 17000000 /dev/zero | tr '\\0' 'x' > $OUT/$ID.list",
    expected: ["5.3.5 bounced"],
  },
  {
    name: "LOP-08: lists that include one another for ever",
    forwards: { alice: ":include:$out/$id.a\n" },
    shell: "echo :include:$OUT/$ID.b > $OUT/$ID.a; echo :include:$OUT/$ID.a > $OUT/$ID.b",
    expected: ["5.4.6 bounced"],
  },
  {
    name: "a deep nest of lists",
    forwards: { alice: ":include:$out/$id.1\n" },
    shell:
      "i=1; while [ $i -lt 130 ]; do echo :include:$OUT/$ID.$((i + 1)) > $OUT/$ID.$i; i=$((i + 1)); done; echo x > $OUT/$ID.130",
    expected: ["5.3.5 bounced"],
  },
  {
    name: "a command that goes on for ever with all its children",
    forwards: { alice: "\"|sh -c 'sleep 299.125 & sleep 299.125'\"\n" },
    expected: ["5.3.0 bounced"],
  },
  {
    name: "a command that kills its own group",
    forwards: { alice: '"|kill -9 0"\n' },
    expected: ["4.3.0 deferred"],
  },
  {
    name: "a command that writes without end",
    forwards: { alice: '"|exec yes"\n' },
    expected: ["4.3.0 deferred"],
  },
];

testNeeding(
  ["root", "python3"],
  "Hostile homes: nothing is written outside, nothing runs as another, nothing hangs, and the flags say so",
  async (t) => {
    await using users = await PeerUsers.make();
    const processes: HelperProcess[] = [];
    let places = "";
    const [fillers, victims] = [fill(users), [] as string[]];
    const results = await runOnPostern(users, fillers, {
      watch: (installation) => void processes.push(...helperProcesses(installation)),
      look: (installation) => {
        places = installation.directory;
        const { mode, uid } = Deno.lstatSync(`${places}/out/victim`);
        victims.push(
          `${uid} ${(mode! & 0o7777).toString(8)} ${Deno.readTextFileSync(`${places}/out/victim`)}`,
        );
        for (const path of filesBelow(users.home("carol"))) victims.push(path);
        for (const path of filesBelow(`${places}/out`)) {
          if (/\.(new|by|id|who)$/.test(path)) {
            victims.push(`${path.split(".").at(-1)} ${ownerOf(path, users)}: ${Deno.readTextFileSync(path)}`);
          }
        }
        victims.push(Deno.readTextFileSync(`${places}/boxes/${users.logins.get("carol")}`));
      },
    });
    for (const [index, one] of CASES.entries()) {
      await t.step(one.name, () => {
        const found = results[index]!.lines.map((line) => /> ([0-9.]+ \w+)/.exec(line)?.[1]);
        assert.deepEqual(found, one.expected, results[index]!.lines.join("\n"));
      });
    }
    await t.step("files of others are as they were", () => {
      assert.ok(victims.includes(`0 644 ${VICTIM}`));
      assert.ok(!victims.some((one) => one.includes("/Maildir/new/")), victims.join("\n"));
      assert.ok(!victims.some((one) => one.startsWith("new ")));
      assert.equal(victims.at(-1), "x\n");
    });
    await t.step("commands ran as the user whose they are", () => {
      const [uid, gid] = users.ids("alice");
      assert.ok(
        victims.some((one) => one.startsWith(`id alice: ${uid}\n${gid}\nls: cannot`)),
        victims.join("\n"),
      );
      assert.ok(
        victims.some((one) =>
          one === "who alice: alice\n".replaceAll("alice\n", `${users.logins.get("alice")}\n`)
        ),
        victims.join("\n"),
      );
      assert.ok(victims.some((one) => one === "by alice: "));
    });
    await t.step(
      "helpers run as users, never as root, with one mailbox, one file or one program each",
      () => {
        assert.ok(["mailbox", "program"].every((name) => processes.some(({ daemon }) => daemon === name)));
        const uids = [...["alice", "bob", "carol"].map((user) => users.ids(user)[0]), 65534];
        for (const { uid, flags, daemon } of processes) {
          assert.ok(uids.includes(uid), `${daemon} ${uid}`);
          assert.ok(!flags.some((flag) => /^--allow-(net|sys|env|ffi|all)|^-A/.test(flag)), flags.join(" "));
          const runs = flags.filter((flag) => flag.startsWith("--allow-run"));
          const files = flags.filter((flag) => /^--allow-(read|write)/.test(flag));
          if (daemon === "program") {
            assert.deepEqual([runs.length, files.length, runs[0]!.includes(",")], [
              1,
              0,
              false,
            ]);
          } else {
            assert.equal(runs.length, 0);
            const paths = files.flatMap((flag) => flag.slice(flag.indexOf("=") + 1).split(","));
            assert.ok(
              paths.length > 0 && paths.every((path) => path.startsWith("/home/") || path.startsWith(places)),
              paths.join(" "),
            );
          }
        }
      },
    );
    await t.step("nothing is left running", () => assert.deepEqual(sleeping(), []));
  },
);

/** The cases with what their shells need beside the usual. */
function fill(users: PeerUsers): PeerCase[] {
  const carol = `HOME_CAROL=${users.home("carol")}; CAROL=${
    users.logins.get("carol")
  }; BOXES=\${OUT%/out}/boxes; `;
  return CASES.map((one, index) => ({
    ...one,
    ...(one.forwards === undefined
      ? {}
      : { forwards: { alice: one.forwards["alice"]!.replaceAll("$bobhome", users.home("bob")) } }),
    shell:
      `${carol}[ -e $OUT/victim ] || { printf "${
        VICTIM.replace("\n", "\\n")
      }" > $OUT/victim; chmod 644 $OUT/victim; }; ` +
      (one.shell ?? "").replaceAll("$id", idOf(index)),
  }));
}

interface HelperProcess {
  readonly daemon: string;
  readonly uid: number;
  readonly flags: readonly string[];
}

/** The helpers that run. */
function helperProcesses(installation: Installation): HelperProcess[] {
  return installation.processes().filter(({ daemon }) => daemon === "mailbox" || daemon === "program")
    .flatMap(
      ({ pid, daemon }) => {
        try {
          const line = Deno.readTextFileSync(`/proc/${pid}/cmdline`);
          if (line === "") return []; // it has ended, and nobody has taken notice yet
          return [{ daemon, uid: Deno.statSync(`/proc/${pid}`).uid!, flags: line.split("\0") }];
        } catch {
          return []; // it has ended
        }
      },
    );
}

function ownerOf(path: string, users: PeerUsers): string {
  const { uid } = Deno.lstatSync(path);
  return [...users.logins.keys()].find((user) => users.ids(user)[0] === uid) ?? String(uid);
}

/** Processes of the command that goes on for ever. */
function sleeping(): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
    try {
      return /^[0-9]+$/.test(name) && Deno.readTextFileSync(`/proc/${name}/cmdline`).includes("299.125");
    } catch {
      return false; // it has ended
    }
  });
}
