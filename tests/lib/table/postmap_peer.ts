/**
 * Debian's postmap and postalias as the peer that our tables are compared with. Not a test itself.
 */

/** Reason to skip tests that need the peer, or undefined. */
export function peerMissing(): boolean {
  try {
    return !Deno.statSync("/usr/sbin/postmap").isFile || !Deno.statSync("/usr/sbin/postalias").isFile;
  } catch {
    return true;
  }
}

/** Runs a program of the peer with a configuration of its own in `directory`. */
export function runPeer(
  program: "postmap" | "postalias",
  directory: string,
  args: readonly string[],
  input = "",
): { status: number; out: string; err: string } {
  Deno.writeTextFileSync(
    `${directory}/main.cf`,
    "compatibility_level = 3.6\ndefault_database_type = hash\nmyhostname = peer.example\n",
  );
  const file = `${directory}/input`;
  Deno.writeTextFileSync(file, input);
  // Postfix waits until a file that it reads is two seconds old.
  const past = new Date(Date.now() - 60_000);
  for (const entry of Deno.readDirSync(directory)) Deno.utimeSync(`${directory}/${entry.name}`, past, past);
  const output = new Deno.Command("/bin/sh", {
    args: ["-c", 'exec "$0" "$@" < "$INPUT"', `/usr/sbin/${program}`, "-c", directory, ...args],
    env: { INPUT: file },
    stdout: "piped",
    stderr: "piped",
  }).outputSync();
  const text = new TextDecoder();
  return { status: output.code, out: text.decode(output.stdout), err: text.decode(output.stderr) };
}

/** The values that the peer finds for keys; one run for all of them. */
export function queryPeer(
  program: "postmap" | "postalias",
  directory: string,
  spec: string,
  keys: readonly string[],
): Map<string, string> {
  const { out } = runPeer(program, directory, ["-q", "-", spec], keys.map((key) => `${key}\n`).join(""));
  const found = new Map<string, string>();
  for (const line of out.split("\n")) {
    const tab = line.indexOf("\t");
    // postalias prints the key as an alias file has it, with a colon.
    if (tab > 0) found.set(line.slice(0, program === "postalias" ? tab - 1 : tab), line.slice(tab + 1));
  }
  return found;
}
