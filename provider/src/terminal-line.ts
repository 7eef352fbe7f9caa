/** The bottom line of a terminal: drawn again and again in its place, while log lines scroll by above it. */

export interface Terminal {
  write(text: string): void;
  columns(): number;
}

export class TerminalLine {
  readonly #terminal: Terminal;
  #shown = "";

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(line: string): void {
    if (line === this.#shown) return;
    this.erase();
    this.#shown = line;
    // A line that wraps could not be erased again.
    this.#terminal.write(line.slice(0, Math.max(0, this.#terminal.columns() - 1)));
  }

  /** Prints a line that stays, above the one that is drawn again. */
  print(line: string): void {
    const below = this.#shown;
    this.erase();
    this.#terminal.write(`${line}\n`);
    this.show(below);
  }

  /** Leaves the terminal as it was found. */
  erase(): void {
    if (this.#shown !== "") this.#terminal.write("\r\u001b[2K");
    this.#shown = "";
  }
}
