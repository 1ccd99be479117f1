/**
 * How many commands of each kind a session had, for the line that its end writes.
 */

/** Counts of one session. */
export class CommandCounts {
  readonly #all = new Map<string, number>();
  readonly #accepted = new Map<string, number>();

  /** A command came. */
  came(name: string): void {
    this.#all.set(name, (this.#all.get(name) ?? 0) + 1);
  }

  /** It had a good reply. */
  accepted(name: string): void {
    this.#accepted.set(name, (this.#accepted.get(name) ?? 0) + 1);
  }

  /** " ehlo=1 mail=1 rcpt=0/1 commands=2/3": accepted and all where they differ, as Postfix. */
  text(order: readonly string[]): string {
    let text = "";
    let accepted = 0;
    let all = 0;
    for (const name of order) {
      const total = this.#all.get(name) ?? 0;
      if (total === 0) continue;
      const good = this.#accepted.get(name) ?? 0;
      text += ` ${name}=${good === total ? total : `${good}/${total}`}`;
      accepted += good;
      all += total;
    }
    return `${text} commands=${accepted === all ? all : `${accepted}/${all}`}`;
  }
}
