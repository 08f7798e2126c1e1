// Owns: Mantine's theme: the page's font, accent and greys, and small controls by default.

import { createTheme, localStorageColorSchemeManager, type MantineColorsTuple } from "@mantine/core";

const iris: MantineColorsTuple = [
  "#e2f8fb",
  "#c9eef4",
  "#97dfe9",
  "#62cfde",
  "#3cc4d6",
  "#22b4c8",
  "#149db1",
  "#0a7d8f",
  "#086b7b",
  "#055562",
];

const dark: MantineColorsTuple = [
  "#dfe5ec",
  "#b9c3cf",
  "#9aa7b6",
  "#6b7888",
  "#303b49",
  "#202833",
  "#171d26",
  "#12171e",
  "#0e1218",
  "#0b0e13",
];

export const SCHEME_KEY = "skopos-color-scheme";

export const schemeManager = localStorageColorSchemeManager({ key: SCHEME_KEY });

export const theme = createTheme({
  primaryColor: "iris",
  primaryShade: { light: 7, dark: 7 },
  colors: { iris, dark },
  fontFamily: 'Inter, system-ui, "Segoe UI", "DejaVu Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  defaultRadius: "md",
  respectReducedMotion: true,
  cursorType: "pointer",
});
