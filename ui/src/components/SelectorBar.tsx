// Owns: the selectors for job, instance and network device.
// Never: offers only what is known: a value from the link stays selectable even when no series has it.

import { Select } from "@mantine/core";
import { useDashboard } from "../state/dashboard";
import { changeView } from "../state/viewStore";
import { ChevronDown } from "./icons";
import css from "./SelectorBar.module.css";

interface OneProps {
  readonly label: string;
  readonly value: string | null;
  readonly choices: readonly string[];
  readonly onChange: (value: string) => void;
}

function One({ label, value, choices, onChange }: OneProps) {
  const data = value === null || value === "" || choices.includes(value) ? [...choices] : [value, ...choices];
  return (
    <div className={css.one} data-name={label}>
      <label className={css.label} htmlFor={`select-${label}`}>
        {label}
      </label>
      <Select
        id={`select-${label}`}
        size="xs"
        data={data}
        value={value === "" ? null : value}
        onChange={(next) => next !== null && onChange(next)}
        searchable={data.length > 8}
        allowDeselect={false}
        placeholder="none yet"
        nothingFoundMessage="nothing found"
        maxDropdownHeight={320}
        rightSection={<ChevronDown />}
        rightSectionPointerEvents="none"
        classNames={{ input: css.input ?? "", option: css.option ?? "" }}
        comboboxProps={{ width: "max-content", position: "bottom-start", shadow: "md" }}
      />
    </div>
  );
}

export function SelectorBar() {
  const { machine } = useDashboard();
  const options = { history: "push" } as const;
  return (
    <fieldset className={css.bar}>
      <legend className={css.legend}>What is shown</legend>
      <One
        label="job"
        value={machine.job}
        choices={machine.jobs}
        onChange={(job) => changeView({ job, instance: null, device: null }, options)}
      />
      <One
        label="instance"
        value={machine.instance}
        choices={machine.instances}
        onChange={(instance) => changeView({ job: machine.job, instance, device: null }, options)}
      />
      <One
        label="device"
        value={machine.device}
        choices={machine.devices}
        onChange={(device) => changeView({ device }, options)}
      />
    </fieldset>
  );
}
