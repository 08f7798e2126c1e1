// Owns: the box beside the crosshair with time, names and values, on the chart under the pointer.
// Never: goes through React; it moves with every mouse event.

import type uPlot from "uplot";
import { momentText } from "./timeText";

export interface TooltipRow {
  readonly name: string;
  readonly colour: string;
  readonly text: string;
}

export interface TooltipClasses {
  readonly box: string;
  readonly time: string;
  readonly row: string;
  readonly swatch: string;
  readonly name: string;
  readonly value: string;
}

const OFFSET_PX = 14;

function element(className: string, text = ""): HTMLElement {
  const made = document.createElement("div");
  made.className = className;
  made.textContent = text;
  return made;
}

export class Tooltip {
  private readonly box: HTMLElement;
  private readonly classes: TooltipClasses;

  constructor(classes: TooltipClasses) {
    this.classes = classes;
    this.box = element(classes.box);
    this.box.hidden = true;
    // The legend and the live region tell the same to those who cannot see the box.
    this.box.setAttribute("aria-hidden", "true");
  }

  attach(chart: uPlot): void {
    chart.over.appendChild(this.box);
  }

  hide(): void {
    this.box.hidden = true;
  }

  show(chart: uPlot, timeS: number, rows: readonly TooltipRow[]): void {
    const { time, row, swatch, name, value } = this.classes;
    const lines = rows.map((one) => {
      const made = element(row);
      const mark = element(swatch);
      mark.style.background = one.colour;
      made.append(mark, element(name, one.name), element(value, one.text));
      return made;
    });
    this.box.replaceChildren(element(time, momentText(timeS)), ...lines);
    this.box.hidden = false;
    this.place(chart);
  }

  private place(chart: uPlot): void {
    const left = chart.cursor.left ?? 0;
    const top = chart.cursor.top ?? 0;
    const { clientWidth, clientHeight } = chart.over;
    const { offsetWidth, offsetHeight } = this.box;
    const right = left + OFFSET_PX + offsetWidth <= clientWidth;
    const x = right ? left + OFFSET_PX : Math.max(0, left - OFFSET_PX - offsetWidth);
    const y = Math.max(0, Math.min(top - offsetHeight / 2, clientHeight - offsetHeight));
    this.box.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }
}
