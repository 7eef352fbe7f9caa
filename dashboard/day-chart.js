/** @import { Hour } from "./day-use.js" */
import { daySentence, hourSentence } from "./day-use.js";
import { make, setText } from "./dom.js";
import { clock } from "./format.js";

/** A bar for each hour of the last day, what was refused in red on top of it, and the same in words under it. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 48;
const STEP = 10;
const WIDTH = 8;

/** @typedef {{ readonly served: SVGRectElement, readonly refused: SVGRectElement, readonly title: SVGTitleElement }} Bar */

export class DayChart {
  #place;
  #picture;
  #words;
  #from;
  /** @type {Bar[]} */
  #bars = [];

  /** @param {HTMLElement} place an empty one of the page */
  constructor(place) {
    this.#place = place;
    this.#picture = document.createElementNS(SVG, "svg");
    this.#picture.setAttribute("preserveAspectRatio", "none");
    this.#picture.setAttribute("aria-hidden", "true");
    place.append(this.#picture);
    const scale = place.appendChild(make("p", "scale soft"));
    scale.setAttribute("aria-hidden", "true");
    this.#from = scale.appendChild(make("span"));
    scale.append(make("span", "", "now"));
    this.#words = place.appendChild(make("p", "soft"));
  }

  /** @param {readonly Hour[] | null} hours null as long as they are not known */
  show(hours) {
    this.#place.hidden = hours === null;
    if (hours === null) return;
    setText(this.#words, daySentence(hours));
    setText(this.#from, clock(hours[0]?.at ?? 0, undefined, "short"));
    while (this.#bars.length < hours.length) this.#bars.push(this.#barAt(this.#bars.length));
    this.#picture.setAttribute("viewBox", `0 0 ${hours.length * STEP} ${HEIGHT}`);
    const most = Math.max(1, ...hours.map(({ requests }) => requests));
    hours.forEach((hour, index) => {
      const bar = this.#bars[index];
      if (bar === undefined) return;
      const top = HEIGHT * (1 - hour.requests / most);
      const edge = top + (HEIGHT * hour.refused) / most;
      stretch(bar.refused, top, edge);
      stretch(bar.served, edge, HEIGHT);
      setText(bar.title, hourSentence(hour));
    });
  }

  /**
   * @param {number} index
   * @returns {Bar}
   */
  #barAt(index) {
    const group = this.#picture.appendChild(document.createElementNS(SVG, "g"));
    const title = group.appendChild(document.createElementNS(SVG, "title"));
    // The whole height answers to the pointer, however low the bar is.
    const ground = rectOf(group, "ground", index);
    stretch(ground, 0, HEIGHT);
    return { title, served: rectOf(group, "served", index), refused: rectOf(group, "refused", index) };
  }
}

/**
 * @param {SVGGElement} group
 * @param {string} name
 * @param {number} index
 */
function rectOf(group, name, index) {
  const rect = group.appendChild(document.createElementNS(SVG, "rect"));
  rect.classList.add(name);
  rect.setAttribute("x", String(index * STEP + (STEP - WIDTH) / 2));
  rect.setAttribute("width", String(WIDTH));
  return rect;
}

/**
 * @param {SVGRectElement} rect
 * @param {number} top
 * @param {number} bottom
 */
function stretch(rect, top, bottom) {
  rect.setAttribute("y", top.toFixed(1));
  rect.setAttribute("height", Math.max(0, bottom - top).toFixed(1));
}
