/** Line charts as inline SVG. Long series are drawn as the means of at most 700 stretches. */
export interface Line {
  readonly colour: string;
  readonly values: readonly number[];
  readonly dotted?: boolean;
}

/** Told apart on light and on dark paper. */
export const COLOURS = [
  "#2f7df6",
  "#9aa4b2",
  "#e5484d",
  "#e88c1a",
  "#a25ddc",
  "#1fa971",
  "#c9a20c",
  "#0fa3b1",
];

/** The policies' colours without their grey, which is too faint for a dotted line. */
export const MODEL_COLOURS = COLOURS.filter((colour) => colour !== "#9aa4b2");

const WIDTH = 1000;
const HEIGHT = 240;
const LEFT = 44;
const BOTTOM = 24;
const POINTS_MAX = 700;

export function chart(drawn: readonly Line[], t_s: readonly number[]): string {
  const lines = drawn.map((line) => ({ ...line, values: thinned(line.values) }));
  const top = niceTop(lines.reduce((max, line) => Math.max(max, ...line.values), 0));
  const points = lines[0]?.values.length ?? 1;
  const x = (index: number) => LEFT + (index / Math.max(1, points - 1)) * (WIDTH - LEFT - 8);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 10);
  const parts: string[] = [];
  for (let step = 0; step <= 4; step += 1) {
    const value = (top * step) / 4;
    parts.push(
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/>`,
      `<text x="${LEFT - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${Number(value.toPrecision(3))}</text>`,
    );
  }
  for (const { share, label } of marks(t_s)) {
    const at = x(share * (points - 1)).toFixed(1);
    parts.push(
      `<line class="grid" x1="${at}" x2="${at}" y1="10" y2="${HEIGHT - BOTTOM}"/>`,
      `<text x="${at}" y="${HEIGHT - 6}" text-anchor="middle">${label}</text>`,
    );
  }
  for (const { colour, values, dotted } of lines) {
    const path = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const dash = dotted ? ' stroke-dasharray="2 3" opacity="0.75"' : "";
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.6"${dash} points="${path}"/>`);
  }
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join("")}</svg>`;
}

function thinned(values: readonly number[]): number[] {
  const size = Math.max(1, Math.ceil(values.length / POINTS_MAX));
  const means: number[] = [];
  for (let from = 0; from < values.length; from += size) {
    const stretch = values.slice(from, from + size);
    means.push(stretch.reduce((sum, value) => sum + value, 0) / stretch.length);
  }
  return means;
}

/** The next of 1, 2, 4, 6, 8 times a power of ten. */
function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8, 10].find((step) => step * power >= value) ?? 10) * power;
}

/** Whole days, or hours where the trace is short. */
function marks(t_s: readonly number[]): { share: number; label: string }[] {
  const first = t_s[0] ?? 0;
  const last = t_s.at(-1) ?? 0;
  const span = Math.max(1, last - first);
  const [step, name] =
    span > 2 * 86_400 ? [86_400, "day"] : span > 6 * 3600 ? [14_400, "hour"] : [1800, "min"];
  const unit = name === "day" ? 86_400 : name === "hour" ? 3600 : 60;
  const found: { share: number; label: string }[] = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    found.push({ share: (at - first) / span, label: `${name} ${Math.round(at / unit)}` });
  }
  return found;
}
