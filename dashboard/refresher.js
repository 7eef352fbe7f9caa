/**
 * Reads again and again, but only while somebody looks: each reading costs the coordinator something. The next one is
 * counted from the end of the last, so that a slow coordinator is not asked faster than it answers.
 */
export class Refresher {
  #read;
  #everyMs;
  #isWatched;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isReading = false;
  #isOutdated = false;
  #isDue = true;
  #isStopped = false;

  /**
   * @param {() => Promise<void>} read never fails
   * @param {number} everyMs
   * @param {() => boolean} isWatched whether the page is visible and not paused
   */
  constructor(read, everyMs, isWatched) {
    this.#read = read;
    this.#everyMs = everyMs;
    this.#isWatched = isWatched;
  }

  /** Reads now, watched or not. */
  async now() {
    if (this.#isReading || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#isReading = true;
    do {
      this.#isOutdated = false;
      await this.#read();
    } while (this.#isOutdated && !this.#isStopped);
    this.#isReading = false;
    this.#isDue = false;
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#isDue = true;
      this.look();
    }, this.#everyMs);
  }

  /** Reads what has just been changed, watched or not: a reading under way may have begun before the change. */
  async anew() {
    if (this.#isReading) this.#isOutdated = true;
    else await this.now();
  }

  /** To be called when the page may have become watched: what was missed is made up for at once. */
  look() {
    if (this.#isDue && this.#isWatched()) void this.now();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }
}
