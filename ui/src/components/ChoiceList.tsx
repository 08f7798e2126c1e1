// Owns: a short list of which one is chosen, as it stands in the page's popovers.

import css from "./ChoiceList.module.css";

export interface Choice {
  readonly id: string;
  readonly text: string;
  readonly chosen: boolean;
  readonly pick: () => void;
}

export function ChoiceList({
  label,
  choices,
}: {
  readonly label: string;
  readonly choices: readonly Choice[];
}) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset needs a legend, which would repeat the name.
    <div className={css.list} role="group" aria-label={label}>
      {choices.map(({ id, text, chosen, pick }) => (
        <button
          key={id}
          type="button"
          className={css.choice}
          aria-pressed={chosen}
          // The popover moves the focus here when it opens.
          data-autofocus={chosen || undefined}
          data-choice={id}
          onClick={pick}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
