import assert from "node:assert/strict";
import { findInherited, inheritedCount, parseSocketTable } from "../../../lib/safe/inherited.ts";

const HEADER =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/** A line as the kernel prints it. */
function line(local: string, state: string, inode: number): string {
  return `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0\n`;
}

Deno.test("A socket table gives the address and port of each listening socket", () => {
  const rows = [
    { local: "0100007F:0019", host: "127.0.0.1", port: 25 },
    { local: "00000000:FFFF", host: "0.0.0.0", port: 65535 },
    { local: "0200A8C0:0001", host: "192.168.0.2", port: 1 },
    { local: "00000000000000000000000000000000:0019", host: "::", port: 25 },
    { local: "00000000000000000000000001000000:0FA0", host: "::1", port: 4000 },
    { local: "B80D0120000000000000000001000000:0019", host: "2001:db8::1", port: 25 },
  ];
  for (const { local, host, port } of rows) {
    const found = parseSocketTable(HEADER + line(local, "0A", 4711));
    assert.deepEqual([...found], [["socket:[4711]", { host, port }]]);
  }
});

Deno.test("A socket table gives nothing for connections and for lines that are none", () => {
  for (const state of ["01", "06", "0B", "0a"]) {
    assert.equal(parseSocketTable(HEADER + line("0100007F:0019", state, 1)).size, 0, state);
  }
  for (const local of ["", ":0019", "0100007:0019", "0100007F00:0019", "GG00007F:0019"]) {
    assert.equal(parseSocketTable(HEADER + line(local, "0A", 1)).size, 0, local);
  }
  const whole = HEADER + line("0100007F:0019", "0A", 4711);
  for (let end = 0; end < whole.length; end++) parseSocketTable(whole.slice(0, end));
});

Deno.test("The kernel's own table has the socket that we bind", () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const found = [...parseSocketTable(Deno.readTextFileSync("/proc/self/net/tcp")).values()];
  assert.ok(found.some((one) => one.host === "127.0.0.1" && one.port === port));
});

Deno.test("Descriptors are taken only when they are meant for this very process", () => {
  const rows: { pid?: string; count?: string; want: number }[] = [
    { want: 0 },
    { count: "2", want: 0 },
    { pid: "100", want: 0 },
    { pid: "100", count: "2", want: 2 },
    { pid: "100", count: "1024", want: 1024 },
    { pid: "100", count: "1025", want: 0 },
    { pid: "99", count: "2", want: 0 },
    { pid: "100", count: "-1", want: 0 },
    { pid: "100", count: "2x", want: 0 },
    { pid: " 100", count: "2", want: 0 },
  ];
  for (const { pid, count, want } of rows) {
    const variables = new Map([["LISTEN_PID", pid], ["LISTEN_FDS", count]]);
    assert.equal(inheritedCount((name) => variables.get(name), 100), want, `${pid} ${count}`);
  }
});

Deno.test("An inherited socket is found by exactly its address, in any spelling", () => {
  const listeners = [
    { descriptor: 3, host: "127.0.0.1", port: 25 },
    { descriptor: 4, host: "::", port: 25 },
    { descriptor: 5, host: "2001:db8::1", port: 25 },
  ];
  const rows = [
    { host: "127.0.0.1", port: 25, want: 3 },
    { host: "::", port: 25, want: 4 },
    { host: "2001:DB8:0:0::1", port: 25, want: 5 },
    { host: "127.0.0.1", port: 26, want: undefined },
    { host: "0.0.0.0", port: 25, want: undefined },
    { host: "localhost", port: 25, want: undefined },
  ];
  for (const { host, port, want } of rows) {
    assert.equal(findInherited(listeners, host, port)?.descriptor, want, `${host} ${port}`);
  }
});
