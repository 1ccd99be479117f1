import assert from "node:assert/strict";
import type { Job } from "../../../daemons/qmgr/qmgr_job.ts";
import { JobList } from "../../../daemons/qmgr/qmgr_job_list.ts";

function job(since: number): Job {
  return { order: 0, listed: false, message: { since } } as unknown as Job;
}

/** The times of the jobs from the first one on, and that their numbers rise. */
function times(member: Job): number[] {
  let first = member;
  while (first.previous !== undefined) first = first.previous;
  const found: number[] = [];
  for (let one: Job | undefined = first; one !== undefined; one = one.next) {
    if (one.next !== undefined) assert.ok(one.order < one.next.order, `${one.order} < ${one.next.order}`);
    found.push(one.message.since);
  }
  return found;
}

Deno.test("jobs stand in the order of their messages, also one that comes late", () => {
  const list = new JobList();
  const [a, b, c, d] = [job(1), job(3), job(4), job(2)];
  for (const one of [a!, b!, c!, d!]) list.insert(one);
  assert.deepEqual(times(a!), [1, 2, 3, 4]);
  list.remove(b!);
  assert.equal(b!.listed, false);
  assert.deepEqual(times(a!), [1, 2, 4]);
  list.remove(a!);
  list.insert(a!);
  assert.deepEqual(times(d!), [1, 2, 4]);
});

Deno.test("a thousand jobs move in front of one another, and there is a number for each", () => {
  const list = new JobList();
  const jobs = Array.from({ length: 1000 }, (_, i) => job(i));
  for (const one of jobs) list.insert(one);
  // Each goes between the first and the one that went there before it.
  for (let i = 2; i < jobs.length; i++) list.moveBefore(jobs[i]!, jobs[i - 1]!);
  assert.deepEqual(times(jobs[0]!), [0, ...Array.from({ length: 999 }, (_, i) => 999 - i)]);
});

Deno.test("one that preempted is no measure for the place of a late one", () => {
  const list = new JobList();
  const [old, young, late] = [job(1), job(9), job(5)];
  list.insert(old!);
  list.insert(young!);
  list.moveBefore(young!, old!);
  young!.parent = old;
  list.insert(job(8));
  list.insert(late!);
  assert.deepEqual(times(old!), [9, 1, 5, 8]);
});
