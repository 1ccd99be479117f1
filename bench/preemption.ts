/**
 * How long a message to one recipient waits while a long list is delivered, with Postfix's preemption and without:
 * the scheduler of qmgr on a simulated clock. Writes docs/images/preemption.svg, the same each time.
 *
 * `deno run -A bench/preemption.ts [FILE]`
 *
 * @module
 */
import { Simulation } from "../tests/daemons/qmgr/simulation.ts";

const LIST = 100_000;
/** Messages to one recipient arrive every second, so many in all. */
const MESSAGES = 130;
/** The drawing, and the room for its axes. */
const WIDTH = 760;
const HEIGHT = 380;
const LEFT = 60;
const RIGHT = 20;
const TOP = 50;
const BOTTOM = 50;
const SECONDS_ACROSS = MESSAGES;
const SECONDS_UP = 120;

interface Run {
  readonly name: string;
  readonly color: string;
  /** Seconds that the message that came in second n waited. */
  readonly delays: readonly number[];
  /** When the list was delivered, seconds. */
  readonly listDone: number;
}

function play(name: string, color: string, slotCost: number): Run {
  const simulation = new Simulation({ rules: { initial: 20, slotCost } });
  simulation.post({ id: "list", recipients: LIST });
  for (let i = 0; i < MESSAGES; i++) simulation.postAt(i + 0.5, { id: `m${i}`, recipients: 1 });
  simulation.clock.run();
  return {
    name,
    color,
    delays: Array.from({ length: MESSAGES }, (_, i) => simulation.delay(`m${i}`)),
    listDone: simulation.delay("list"),
  };
}

const x = (seconds: number) => (LEFT + seconds / SECONDS_ACROSS * (WIDTH - LEFT - RIGHT)).toFixed(1);
const y = (seconds: number) => (HEIGHT - BOTTOM - seconds / SECONDS_UP * (HEIGHT - TOP - BOTTOM)).toFixed(1);

function text(at: readonly [string | number, string | number], words: string, more = ""): string {
  return `<text x="${at[0]}" y="${at[1]}" ${more}>${words}</text>`;
}

function axes(): string[] {
  const lines: string[] = [];
  for (let s = 0; s <= SECONDS_UP; s += 20) {
    lines.push(`<path d="M${LEFT} ${y(s)}H${WIDTH - RIGHT}" stroke="#ddd"/>`);
    lines.push(text([LEFT - 8, Number(y(s)) + 4], `${s}`, 'text-anchor="end"'));
  }
  for (let s = 0; s <= SECONDS_ACROSS; s += 20) {
    lines.push(text([x(s), HEIGHT - BOTTOM + 18], `${s}`, 'text-anchor="middle"'));
  }
  lines.push(
    text([WIDTH / 2, HEIGHT - 10], "arrival of the message, s after the list", 'text-anchor="middle"'),
  );
  lines.push(
    text(
      [16, HEIGHT / 2],
      "until it was delivered, s",
      `text-anchor="middle" transform="rotate(-90 16 ${HEIGHT / 2})"`,
    ),
  );
  return lines;
}

function drawing(runs: readonly Run[]): string {
  const parts = axes();
  runs.forEach(({ name, color, delays, listDone }, at) => {
    parts.push(
      ...delays.map((delay, i) => `<circle cx="${x(i + 0.5)}" cy="${y(delay)}" r="2.5" fill="${color}"/>`),
    );
    parts.push(
      `<path d="M${x(listDone)} ${TOP}V${HEIGHT - BOTTOM}" stroke="${color}" stroke-dasharray="4 3"/>`,
    );
    const legend = `${name}: at most ${Math.max(...delays).toFixed(1)} s; list delivered after ${
      listDone.toFixed(0)
    } s`;
    parts.push(`<circle cx="${LEFT + 6}" cy="${14 + at * 18}" r="4" fill="${color}"/>`);
    parts.push(text([LEFT + 16, 18 + at * 18], legend));
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" ` +
    `font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
}

const file = Deno.args[0] ?? new URL("../docs/images/preemption.svg", import.meta.url).pathname;
const runs = [play("first come, first served", "#b55", 0), play("with preemption", "#27a", 5)];
Deno.mkdirSync(new URL("../docs/images/", import.meta.url), { recursive: true });
Deno.writeTextFileSync(file, drawing(runs));
for (const { name, delays, listDone } of runs) {
  console.log(`${name}: a message waits ${Math.max(...delays)} s at most; the list takes ${listDone} s`);
}
