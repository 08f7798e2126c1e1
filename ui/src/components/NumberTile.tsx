// Owns: a panel with one number and its unit.

import { Fragment } from "react";
import { type Formatted, formatUnit } from "../lib/units";
import type { NumberPanel } from "../panels";
import { useInstant } from "../state/useInstant";
import css from "./NumberTile.module.css";
import { PanelFrame } from "./PanelFrame";

/** "3 days 4 h" as pairs of number and word, so that the words can be set smaller. */
function partsOf({ number, suffix }: Formatted): readonly Formatted[] {
  const words = number.split(" ");
  if (words.length < 2) return [{ number, suffix }];
  const parts: Formatted[] = [];
  for (let index = 0; index < words.length; index += 2) {
    parts.push({ number: words[index] ?? "", suffix: words[index + 1] ?? "" });
  }
  return parts;
}

export function NumberTile({ panel }: { readonly panel: NumberPanel }) {
  const view = useInstant(panel);
  const parts = partsOf(formatUnit(view.data ?? Number.NaN, panel.unit));
  return (
    <PanelFrame panel={panel} view={view} facts={{ "data-value": view.data ?? undefined }}>
      <div className={css.tile}>
        {parts.map((part, index) => (
          <Fragment key={part.suffix}>
            {index > 0 && " "}
            <span className={css.number}>{part.number}</span>
            {part.suffix !== "" && <span className={css.suffix}>{`\u00a0${part.suffix}`}</span>}
          </Fragment>
        ))}
      </div>
    </PanelFrame>
  );
}
