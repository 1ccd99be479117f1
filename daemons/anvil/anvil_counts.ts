/**
 * The counts: connections of each client at a time, and what it did in this unit of time. The unit is a fixed window,
 * as in Postfix: it begins with the first event after the one before has run out, and then all rates begin at nothing.
 *
 * @module
 */

/** What has a rate. */
export const EVENTS = ["connection", "message", "recipient", "newtls", "auth"] as const;
export type Event = typeof EVENTS[number];

/** Clients that are remembered. Past that those go first that have been away for longest. */
export const CLIENT_LIMIT = 100_000;

/** One client of one service. */
export class ClientCounts {
  /** "service:client", as the statistics name it. */
  readonly name: string;
  connections = 0;
  #windowStart: number;
  readonly #rates = new Map<Event, number>();

  constructor(name: string, now: number) {
    this.name = name;
    this.#windowStart = now;
  }

  /** One more: the new rate. */
  add(event: Event, now: number, unit: number): number {
    if (now - this.#windowStart > unit) {
      this.#rates.clear();
      this.#windowStart = now;
    }
    const rate = (this.#rates.get(event) ?? 0) + 1;
    this.#rates.set(event, rate);
    return rate;
  }

  /** The rate as it is. */
  rate(event: Event, now: number, unit: number): number {
    return now - this.#windowStart > unit ? 0 : this.#rates.get(event) ?? 0;
  }
}

/** A greatest value since the last report, whose it was and when. */
interface Peak {
  readonly value: number;
  readonly name: string;
  readonly time: number;
}

/** All clients. */
export class AnvilCounts {
  readonly #unit: number;
  /** The clock that windows go by, which no step of the system's clock moves, and that of the report; milliseconds. */
  readonly #now: () => number;
  readonly #wall: () => number;
  readonly #clients = new Map<string, ClientCounts>();
  /** Clients without a connection, and when the last one ended: the longest away first. */
  readonly #away = new Map<string, number>();
  readonly #peaks = new Map<Event | "count", Peak>();
  #cachePeak: Peak | undefined;

  /** @param unit anvil_rate_time_unit, seconds */
  constructor(unit: number, now: () => number = () => performance.now(), wall: () => number = Date.now) {
    this.#unit = unit * 1000;
    this.#wall = wall;
    this.#now = now;
  }

  /** Clients that are remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** A client has connected. */
  connect(service: string, client: string): { readonly client: ClientCounts; readonly rate: number } {
    const now = this.#now();
    this.#forget(now);
    const name = `${service}:${client}`;
    const counts = this.#clients.get(name) ?? new ClientCounts(name, now);
    this.#clients.set(name, counts);
    this.#away.delete(name);
    counts.connections++;
    if (this.#clients.size > (this.#cachePeak?.value ?? 0)) {
      this.#cachePeak = { value: this.#clients.size, name: "", time: this.#wall() };
    }
    this.#see("count", counts.connections, name);
    return { client: counts, rate: this.count(counts, "connection") };
  }

  /** A client does something more: its rate. */
  count(client: ClientCounts, event: Event): number {
    const rate = client.add(event, this.#now(), this.#unit);
    this.#see(event, rate, client.name);
    return rate;
  }

  /** A client's rate. */
  rate(client: ClientCounts, event: Event): number {
    return client.rate(event, this.#now(), this.#unit);
  }

  /** A connection of a client has ended. */
  disconnect(client: ClientCounts): void {
    client.connections--;
    if (client.connections > 0) return;
    const now = this.#now();
    this.#away.set(client.name, now);
    this.#forget(now);
  }

  /** The statistics since the last report, a line each, in Postfix's words; the peaks begin anew. */
  report(format: (time: number) => string): string[] {
    const unit = this.#unit / 1000;
    const lines: string[] = [];
    const line = (what: string, peak: Peak | undefined, per: string) => {
      if (peak === undefined) return;
      const whose = peak.name === "" ? "" : ` for (${peak.name})`;
      lines.push(`statistics: max ${what} ${peak.value}${per}${whose} at ${format(peak.time)}`);
    };
    line("connection rate", this.#peaks.get("connection"), `/${unit}s`);
    line("connection count", this.#peaks.get("count"), "");
    for (const event of EVENTS.slice(1)) {
      line(`${event} rate`, this.#peaks.get(event), `/${unit}s`);
    }
    line("cache size", this.#cachePeak, "");
    this.#peaks.clear();
    this.#cachePeak = undefined;
    return lines;
  }

  #see(what: Event | "count", value: number, name: string): void {
    if (value <= (this.#peaks.get(what)?.value ?? 0)) return;
    this.#peaks.set(what, { value, name, time: this.#wall() });
  }

  /** Forgets clients whose rates have run out, and more of those that are away when there are too many. */
  #forget(now: number): void {
    for (const [name, since] of this.#away) {
      if (now - since <= this.#unit && this.#clients.size < CLIENT_LIMIT) break;
      this.#away.delete(name);
      this.#clients.delete(name);
    }
  }
}
