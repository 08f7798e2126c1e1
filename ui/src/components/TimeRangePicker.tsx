// Owns: choosing the time range: presets, an absolute from/to, half a window back or forth, twice as wide.

import { ActionIcon, Button, Popover, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import {
  betweenRange,
  fromLocalInput,
  lastRange,
  PRESETS,
  rangeLabel,
  shiftRange,
  type TimeRange,
  toLocalInput,
  windowOf,
  zoomOut,
} from "../lib/timeRange";
import { useDashboard } from "../state/dashboard";
import { serverNowMs } from "../state/serverClock";
import { ChoiceList } from "./ChoiceList";
import { ChevronDown, ChevronLeft, ChevronRight, ClockIcon, ZoomOutIcon } from "./icons";
import css from "./TimeRangePicker.module.css";

function sameRange(a: TimeRange, b: TimeRange | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

interface FormProps {
  readonly range: TimeRange;
  readonly onPick: (range: TimeRange) => void;
}

/** The range that two time inputs mean, or what is wrong with them. */
function readRange(from: string, to: string): TimeRange | string {
  const fromMs = fromLocalInput(from);
  const toMs = fromLocalInput(to);
  if (fromMs === null || toMs === null) return "Give both a date and a time.";
  if (fromMs >= toMs) return "“From” must be before “to”.";
  return betweenRange(fromMs, toMs) ?? "At most ten years.";
}

function CustomForm({ range, onPick }: FormProps) {
  const window = windowOf(range, serverNowMs());
  const [from, setFrom] = useState(toLocalInput(window.fromMs));
  const [to, setTo] = useState(toLocalInput(window.toMs));
  const [problem, setProblem] = useState<string | null>(null);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const chosen = readRange(from, to);
    if (typeof chosen === "string") setProblem(chosen);
    else onPick(chosen);
  };

  return (
    <form className={css.form} onSubmit={submit}>
      <TextInput
        size="xs"
        type="datetime-local"
        step={1}
        label="From"
        value={from}
        onChange={(event) => setFrom(event.currentTarget.value)}
      />
      <TextInput
        size="xs"
        type="datetime-local"
        step={1}
        label="To"
        value={to}
        onChange={(event) => setTo(event.currentTarget.value)}
        error={problem}
      />
      <Button type="submit" size="xs" fullWidth>
        Show this range
      </Button>
    </form>
  );
}

function Presets({ range, onPick }: FormProps) {
  const choices = PRESETS.flatMap((text) => {
    const preset = lastRange(text);
    if (preset === null) return [];
    return [
      { id: text, text: rangeLabel(preset), chosen: sameRange(range, preset), pick: () => onPick(preset) },
    ];
  });
  return <ChoiceList label="Relative time ranges" choices={choices} />;
}

export function TimeRangePicker() {
  const { range, setRange } = useDashboard();
  const [opened, setOpened] = useState(false);
  const pick = (next: TimeRange): void => {
    setOpened(false);
    setRange(next);
  };
  return (
    <div className={css.picker}>
      <ActionIcon.Group>
        <ActionIcon
          variant="default"
          size={30}
          aria-label="Earlier"
          onClick={() => setRange(shiftRange(range, -1, serverNowMs()))}
        >
          <ChevronLeft />
        </ActionIcon>
        <Popover opened={opened} onChange={setOpened} position="bottom-end" shadow="md" trapFocus>
          <Popover.Target>
            <Button
              className={css.trigger ?? ""}
              variant="default"
              size="xs"
              h={30}
              leftSection={<ClockIcon />}
              rightSection={<ChevronDown />}
              onClick={() => setOpened(!opened)}
              data-testid="time-range"
            >
              {rangeLabel(range)}
            </Button>
          </Popover.Target>
          <Popover.Dropdown className={css.box ?? ""} aria-label="Time range">
            <Presets range={range} onPick={pick} />
            <CustomForm range={range} onPick={pick} />
          </Popover.Dropdown>
        </Popover>
        <ActionIcon
          variant="default"
          size={30}
          aria-label="Later"
          disabled={range.kind === "last"}
          onClick={() => setRange(shiftRange(range, 1, serverNowMs()))}
        >
          <ChevronRight />
        </ActionIcon>
        <ActionIcon
          variant="default"
          size={30}
          aria-label="Twice the range"
          onClick={() => setRange(zoomOut(range, serverNowMs()))}
        >
          <ZoomOutIcon />
        </ActionIcon>
      </ActionIcon.Group>
    </div>
  );
}
