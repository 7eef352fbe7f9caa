import { Hono } from "hono";
import { html } from "hono/html";

import type { ModelCapacity } from "../../core/fleet/capacity.ts";
import { allowCaching, readCapacity } from "../capacity.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";

/**
 * `GET /status`, for people without a key: what each model can take now. It says what `/v1/models/capacity` says to programs,
 * loads nothing, runs no script, and looks again by itself.
 */
export const status = new Hono<AppEnv>().get("/", async (context) => {
  context.header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'");
  context.header("x-content-type-options", "nosniff");
  try {
    const { at, models } = await readCapacity(context.env);
    allowCaching(context);
    return await context.html(page(`As of ${timeOf(at)}.`, models));
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    context.status(503);
    return context.html(page("It cannot be found out at the moment what the models can take.", []));
  }
});

const REFRESH_SECONDS = 15;

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; width: 100%; }
  th, td { padding: 0.4rem 0.8rem 0.4rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
  tbody th { overflow-wrap: anywhere; }
`;

function page(note: string, models: readonly ModelCapacity[]) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="refresh" content="${REFRESH_SECONDS}" />
        <title>${titleOf(models)}</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <h1>Status</h1>
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Now</th>
              <th scope="col">Room for</th>
              <th scope="col">First token</th>
            </tr>
          </thead>
          <tbody>
            ${models.map(
              (model) =>
                html`<tr>
                  <th scope="row">${model.id}</th>
                  <td>${stateOf(model)}</td>
                  <td>${roomOf(model)}</td>
                  <td>${firstTokenOf(model)}</td>
                </tr> `,
            )}
          </tbody>
        </table>
        <p>${note}</p>
      </body>
    </html>`;
}

/** The state first, so that a tab in the background says it. */
function titleOf(models: readonly ModelCapacity[]): string {
  const away = models.filter(({ exhausted, serving }) => exhausted !== false || serving === 0).length;
  if (models.length === 0) return "Status";
  if (away === 0) return "All models serve";
  return `${away} of ${models.length} models ${away === 1 ? "does" : "do"} not serve`;
}

function stateOf({ exhausted, serving, free_slots, queued, loading, eta_s }: ModelCapacity): string {
  const coming = loading === 0 ? "" : `, ${loading} on the way${eta_s === null ? "" : ` (${eta_s} s)`}`;
  if (exhausted === null) return "does not answer";
  if (exhausted) return `not served${coming}`;
  if (serving === 0) return `machines are coming back${coming}`;
  return `${free_slots === 0 ? `busy, ${queued ?? 0} wait` : "serves"}${coming}`;
}

/** In a cell of which there is nothing to tell. */
const NOTHING = "–";

function roomOf({ free_slots, slots }: ModelCapacity): string {
  return free_slots === null || slots === null || slots === 0
    ? NOTHING
    : `${free_slots} of ${slots} requests`;
}

function firstTokenOf({ ttft_p50_ms }: ModelCapacity): string {
  return ttft_p50_ms === null ? NOTHING : `${(ttft_p50_ms / 1000).toFixed(1)} s`;
}

function timeOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
