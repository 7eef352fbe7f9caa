import type { SimClock } from "./clock.ts";
import type { Dice } from "./random.ts";

/** The quality of the network. After `calm` nothing is lost and everything takes milliseconds. */
export class Network {
  readonly #clock: SimClock;
  readonly #dice: Dice;
  isCalm = false;
  /** How much worse than usual the network of this run is. */
  readonly #misery: number;

  constructor(clock: SimClock, dice: Dice) {
    this.#clock = clock;
    this.#dice = dice;
    this.#misery = dice.pick([1, 1, 3, 6]);
  }

  delayMs(): number {
    return this.isCalm ? this.#dice.whole(1, 30) : this.#dice.delayMs(60, 1500 * this.#misery);
  }

  /** Rolled only while the network is bad. */
  fails(probability: number): boolean {
    return !this.isCalm && this.#dice.chance(Math.min(0.6, probability * this.#misery));
  }

  /**
   * One call between objects: the request may be lost, come twice, or overtake others, and so may the reply. A caller
   * learns of a loss at some later time, like from a platform that gives up.
   */
  call<T>(perform: () => T | null, onReply: (reply: T) => void, onLost: () => void = () => {}): void {
    if (this.fails(0.04)) {
      this.#clock.after(this.delayMs() * 2, onLost);
      return;
    }
    const times = this.fails(0.05) ? 2 : 1;
    for (let i = 0; i < times; i++) {
      this.#clock.after(this.delayMs(), () => {
        const reply = perform();
        const isLost = reply === null || this.fails(0.04);
        this.#clock.after(this.delayMs(), () => {
          if (isLost) onLost();
          else onReply(reply);
        });
      });
    }
  }
}
