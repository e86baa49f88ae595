// Redraws a block of lines in place: cursor up to its beginning, each line erased and written anew, the rest below erased.

const escape = '\u001b[';

export class Screen {
  private drawn = 0;

  constructor(private readonly write: (text: string) => void) {
    this.write(`${escape}?25l`);
  }

  /** Shows these lines instead of the last ones. They must fit: not wider than the terminal, fewer than its rows. */
  draw(lines: string[]): void {
    const up = this.drawn > 0 ? `${escape}${this.drawn}A\r` : '';
    this.write(`${up}${lines.map((line) => `${line}${escape}K\n`).join('')}${escape}J`);
    this.drawn = lines.length;
  }

  /** Leaves the last picture where it is and gives the cursor back. */
  close(): void {
    this.write(`${escape}?25h`);
  }
}
