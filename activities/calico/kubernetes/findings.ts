// What was found, for people: the first twenty lines and how many there were. Nothing that grows with the data goes through Temporal.

const listed = 20;
/** A line with a whole value of IPAM in it says no more than its beginning. */
const longest = 300;

export class Findings {
  private readonly first: string[] = [];
  private count = 0;

  add(line: string): void {
    this.count += 1;
    if (this.first.length < listed) this.first.push(line.length > longest ? `${line.slice(0, longest)}…` : line);
  }

  get total(): number {
    return this.count;
  }

  /** The first twenty. */
  get lines(): string[] {
    return [...this.first];
  }

  /** The first twenty, and a line that counts the rest. */
  get linesAndRest(): string[] {
    const rest = this.count - this.first.length;
    return rest > 0 ? [...this.first, `and ${rest} more`] : this.lines;
  }
}
