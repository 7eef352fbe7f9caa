import type { Page } from "playwright-core";

/** What is wrong with how the page looks, as far as it can be measured: empty lists if nothing is. */

/** Text that sticks out of its box or of the window; tables and commands may scroll within the page. */
export function overflowing(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    if (document.documentElement.scrollWidth > innerWidth) found.push("the page");
    for (const element of document.querySelectorAll(
      "#login *, .bar *, main *, footer, dialog[open], dialog[open] *",
    )) {
      if (!(element instanceof HTMLElement) || !element.checkVisibility() || element.closest(".wide, pre"))
        continue;
      // A list shows as much of a long choice as it has room for.
      if (element instanceof HTMLSelectElement || element instanceof HTMLOptionElement) continue;
      const isText = [...element.childNodes].some((node) => node instanceof Text && node.data.trim() !== "");
      const isCut = isText && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
      const isOut = element.getBoundingClientRect().right > innerWidth + 0.5;
      if (isCut || isOut)
        found.push(`${element.tagName}#${element.id}.${element.className}: ${element.innerText}`);
    }
    return found;
  });
}

/** Texts with less contrast than WCAG's 4.5. What is closed for now may be pale. */
export function pale(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const rgb = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const linear = (part: number) => (part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const luminance = ([red = 0, green = 0, blue = 0]: number[]) =>
      0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
    const paperOf = (element: Element | null): number[] => {
      if (element === null) return [255, 255, 255];
      const [red = 0, green = 0, blue = 0, alpha = 1] = rgb(getComputedStyle(element).backgroundColor);
      return alpha === 1 ? [red, green, blue] : paperOf(element.parentElement);
    };
    const opacityOf = (element: Element | null): number =>
      element === null ? 1 : Number(getComputedStyle(element).opacity) * opacityOf(element.parentElement);
    const ground = paperOf(document.body);
    /** What is not opaque lets the page's paper shine through. */
    const over = (color: number[], opacity: number) =>
      ground.map((part, index) => opacity * (color[index] ?? 0) + (1 - opacity) * part);
    const found: string[] = [];
    for (const element of document.querySelectorAll("body *")) {
      const isText = [...element.childNodes].some((node) => node instanceof Text && node.data.trim() !== "");
      const isField = element instanceof HTMLInputElement && element.value !== "";
      if (!(isText || isField) || !element.checkVisibility({ visibilityProperty: true })) continue;
      if (element.matches(":disabled, :disabled *, script, noscript, option")) continue;
      const opacity = opacityOf(element);
      const [one = 0, other = 0] = [rgb(getComputedStyle(element).color), paperOf(element)]
        .map((color) => luminance(over(color, opacity)))
        .sort((a, b) => b - a);
      const contrast = (one + 0.05) / (other + 0.05);
      if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.tagName}: ${element.textContent}`);
    }
    return found;
  });
}

/** What can be used and is not in this list of elements that had the focus, by the order of the page. */
export function usable(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("a[href], button, input, select, summary, [tabindex='0']")]
      .filter(
        (element) => element.checkVisibility({ visibilityProperty: true }) && !element.matches(":disabled"),
      )
      .map((element, index) => {
        element.dataset["tab"] = String(index);
        return `${index} ${element.tagName} ${element.getAttribute("aria-label") ?? element.textContent}`;
      }),
  );
}

/** What has the focus, as `usable` names it, and whether one can see that it has. */
export function focused(page: Page): Promise<{ name: string; isSeen: boolean }> {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (!(element instanceof HTMLElement)) return { name: "", isSeen: false };
    const { tab = "" } = element.dataset;
    const name = `${tab} ${element.tagName} ${element.getAttribute("aria-label") ?? element.textContent}`;
    const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(element);
    const { top, bottom, left } = element.getBoundingClientRect();
    const bar = document.querySelector(".bar");
    const isUnderBar = bar !== null && !bar.contains(element) && top < bar.getBoundingClientRect().bottom;
    const isOnScreen = bottom > 0 && top < innerHeight && !isUnderBar;
    const outer = left - parseFloat(outlineOffset) - parseFloat(outlineWidth);
    const isCut = [...document.querySelectorAll("*")].some(
      (around) =>
        around !== element &&
        around.contains(element) &&
        getComputedStyle(around).overflowX !== "visible" &&
        outer < around.getBoundingClientRect().left,
    );
    return { name, isSeen: outlineStyle !== "none" && outlineWidth !== "0px" && isOnScreen && !isCut };
  });
}
