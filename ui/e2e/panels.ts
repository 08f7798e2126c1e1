// Owns: reading the panels of the page as a reader sees them, and waiting for them.

import type { Page } from "playwright-core";

export interface PanelFacts {
  readonly title: string;
  readonly state: string;
  readonly text: string;
  readonly value: number | null;
  readonly points: number | null;
  readonly updatedAtMs: number;
  readonly expr: string;
  /** Pixels of a chart that hold any colour, axes and grid included; 0 where there is no chart. */
  readonly painted: number;
}

export function readPanels(page: Page): Promise<PanelFacts[]> {
  return page.$$eval("[data-panel]", (panels) =>
    (panels as HTMLElement[]).map((panel) => {
      const number = (text: string | undefined): number | null => (text === undefined ? null : Number(text));
      const canvas = panel.querySelector("canvas");
      const pixels = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
      let painted = 0;
      for (let index = 3; index < (pixels?.length ?? 0); index += 4) {
        if ((pixels?.[index] ?? 0) > 0) painted += 1;
      }
      return {
        title: panel.dataset.panel ?? "",
        state: panel.dataset.state ?? "",
        text: panel.innerText,
        value: number(panel.dataset.value),
        points: number(panel.dataset.points),
        updatedAtMs: Number(panel.dataset.updatedAt),
        expr: panel.dataset.expr ?? "",
        painted,
      };
    }),
  );
}

/** A single value that is a number, or a chart with points that has been painted. */
export function hasData(panel: PanelFacts): boolean {
  if (panel.state !== "data") return false;
  if (panel.points !== null) return panel.points > 0 && panel.painted > 0;
  return panel.value !== null && Number.isFinite(panel.value);
}

export type Condition = (panels: readonly PanelFacts[]) => boolean;

/** Reads until the condition holds; a time-out says what each panel showed last. */
export async function panelsUntil(
  page: Page,
  condition: Condition,
  patienceMs: number,
): Promise<PanelFacts[]> {
  const until = Date.now() + patienceMs;
  for (;;) {
    const panels = await readPanels(page);
    if (condition(panels)) return panels;
    if (Date.now() > until) {
      const shown = panels.map(({ title, state, value, points, text }) =>
        JSON.stringify({ title, state, value, points, text }),
      );
      throw new Error(`after ${patienceMs} ms the panels show:\n${shown.join("\n")}`);
    }
    await page.waitForTimeout(100);
  }
}
