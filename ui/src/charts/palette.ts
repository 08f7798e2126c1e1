// Owns: the colours that canvas drawings use, for light and dark; CSS has the same tones as variables in
// tokens.css.
// Never: gives a meaning to a hue alone; legends and tooltips always name the series.

export interface ChartColours {
  readonly series: readonly string[];
  /** Series beyond the ones that matter (an idle CPU): there, but quiet. */
  readonly quiet: string;
  readonly grid: string;
  readonly axis: string;
  readonly surface: string;
}

const LIGHT: ChartColours = {
  series: ["#1c6fd6", "#c26a00", "#0b8575", "#b3368f", "#6d4bd1", "#4c7d0d", "#c9372c", "#00789a"],
  quiet: "#93a0b0",
  grid: "#e6eaef",
  axis: "#5a6675",
  surface: "#ffffff",
};

const DARK: ChartColours = {
  series: ["#5aa2f7", "#f0a53a", "#2cc3ad", "#e07fc4", "#a48cf7", "#9cc84b", "#f3776b", "#45bfe0"],
  quiet: "#6b7888",
  grid: "#232b36",
  axis: "#93a0b1",
  surface: "#12171e",
};

export function chartColours(scheme: "light" | "dark"): ChartColours {
  return scheme === "dark" ? DARK : LIGHT;
}

/** The same colour with another opacity (0 to 1), for fills below a line. */
export function fade(hex: string, opacity: number): string {
  const alpha = Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0");
  return `${hex}${alpha}`;
}
