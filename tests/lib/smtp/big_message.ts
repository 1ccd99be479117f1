/**
 * Sends a small message and one of 50 MB to the port given, and prints the peak resident size after each, in KiB.
 *
 * @module
 */
import { makeBench, QUEUE_ID } from "./delivery_bench.ts";

const nexthop = `[127.0.0.1]:${Deno.args[0]}`;

function peak(): number {
  const line = Deno.readTextFileSync("/proc/self/status").split("\n").find((each) =>
    each.startsWith("VmHWM:")
  )!;
  return Number(line.split(" ").filter((word) => word !== "").at(-2)!.split("\t").at(-1));
}

/** Writes a queue file of N records without holding it in memory. */
function writeBig(path: string, lines: number): number {
  const file = Deno.openSync(path, { write: true, truncate: true });
  const line = new Uint8Array(100).fill(0x78);
  const records = new Uint8Array(1000 * 102);
  for (let i = 0; i < 1000; i++) {
    records[i * 102] = 0x4e;
    records[i * 102 + 1] = 100;
    records.set(line, i * 102 + 2);
  }
  const write = (bytes: Uint8Array) => {
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  };
  write(new TextEncoder().encode("N\x0aSubject: xN\x00"));
  for (let i = 0; i < lines / 1000; i++) write(records);
  write(new TextEncoder().encode("X\x00E\x00"));
  file.close();
  return lines * 102;
}

await using bench = makeBench({ trusted: new Set([nexthop]) });
const path = `${bench.root}/active/${QUEUE_ID}`;
const results: (string | undefined)[] = [];
const peaks: number[] = [];
for (const lines of [1000, 500_000]) {
  const dataSize = writeBig(path, lines);
  results.push((await bench.deliver({ nexthop, dataSize })).recipients[0]?.result);
  peaks.push(peak());
}
console.log(JSON.stringify([...peaks, results]));
