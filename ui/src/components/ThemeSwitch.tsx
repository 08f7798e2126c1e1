// Owns: the switch between light, dark and the system's setting; a theme in the link wins over the stored
// one.

import { ActionIcon, useMantineColorScheme } from "@mantine/core";
import { useEffect } from "react";
import type { Theme } from "../lib/viewState";
import { changeView, useView } from "../state/viewStore";
import { AutoIcon, MoonIcon, SunIcon } from "./icons";

const NEXT: Readonly<Record<Theme, Theme>> = { auto: "light", light: "dark", dark: "auto" };
const NAMES: Readonly<Record<Theme, string>> = { auto: "as the system", light: "light", dark: "dark" };
const ICONS: Readonly<Record<Theme, () => React.JSX.Element>> = {
  auto: AutoIcon,
  light: SunIcon,
  dark: MoonIcon,
};

export function ThemeSwitch() {
  const { theme } = useView();
  const { colorScheme, setColorScheme } = useMantineColorScheme();

  useEffect(() => {
    if (theme !== null && theme !== colorScheme) setColorScheme(theme);
  }, [theme, colorScheme, setColorScheme]);

  const now = theme ?? colorScheme;
  const Icon = ICONS[now];
  const label = `Colours: ${NAMES[now]}. Switch to ${NAMES[NEXT[now]]}`;
  return (
    <ActionIcon
      variant="default"
      size={30}
      aria-label={label}
      title={label}
      data-testid="theme"
      onClick={() => changeView({ theme: NEXT[now] }, { history: "replace" })}
    >
      <Icon />
    </ActionIcon>
  );
}
