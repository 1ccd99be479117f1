import assert from "node:assert/strict";
import { bindEndpoint, refuseShared } from "../../../daemons/master/master_sockets.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

/** A service with listeners on these descriptors. */
function service(name: string, ...descriptors: number[]) {
  const listeners = descriptors.map((descriptor) => ({
    descriptor,
    noticeClient: () => Promise.resolve(),
    close: () => {},
  }));
  return { name, listeners };
}

Deno.test("Two services cannot have one inherited socket", () => {
  refuseShared([]);
  refuseShared([service("a", 3, 4), service("b", 5)]);
  const text = /^Error: Cannot start service "b": service "a" has its address$/;
  assert.throws(() => refuseShared([service("a", 3, 4), service("b", 5, 4)]), text);
});

Deno.test("A private socket is its owner's, and the network's user's group may connect when it must", {
  ignore: Deno.uid() !== 0,
}, () => {
  const owners = { mail: { uid: 50001, gid: 50002 }, net: { uid: 50003, gid: 50004 } };
  const rows = [
    { mode: 0o600, forNet: false, owners: undefined, want: [0, 0, 0o600] },
    { mode: 0o600, forNet: true, owners: undefined, want: [0, 0, 0o600] },
    { mode: 0o600, forNet: false, owners, want: [50001, 50002, 0o600] },
    { mode: 0o600, forNet: true, owners, want: [50001, 50004, 0o660] },
    { mode: 0o666, forNet: true, owners, want: [50001, 50004, 0o666] },
  ];
  for (const row of rows) {
    using directory = new TemporaryDirectory();
    const path = directory.at("socket");
    const [listener] = bindEndpoint({ kind: "unix", path, mode: row.mode, forNet: row.forNet }, row.owners);
    const { uid, gid, mode } = Deno.lstatSync(path);
    listener!.close();
    assert.deepEqual([uid, gid, mode! & 0o777], row.want);
  }
});

Deno.test("A service with several addresses gets its listeners in the order of their descriptors", () => {
  const bound = bindEndpoint({ kind: "inet", hosts: ["127.0.0.1", "127.0.0.2"], port: 0 }, undefined);
  const numbers = bound.map(({ descriptor }) => descriptor);
  for (const listener of bound) listener.close();
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
});
