// Owns: the bar at the top: product name, selectors, time range, refresh and theme.

import css from "./Header.module.css";
import { EyeIcon } from "./icons";
import { RefreshControl } from "./RefreshControl";
import { SelectorBar } from "./SelectorBar";
import { ThemeSwitch } from "./ThemeSwitch";
import { TimeRangePicker } from "./TimeRangePicker";

export function Header() {
  return (
    <header className={css.header}>
      <div className={css.brand}>
        <EyeIcon size={26} />
        <h1 className={css.name}>Skopos</h1>
      </div>
      <div className={css.selectors}>
        <SelectorBar />
      </div>
      <div className={css.controls}>
        <TimeRangePicker />
        <RefreshControl />
      </div>
      <div className={css.theme}>
        <ThemeSwitch />
      </div>
    </header>
  );
}
