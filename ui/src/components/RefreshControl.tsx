// Owns: refreshing now, and choosing how often it happens by itself.

import { ActionIcon, Button, Popover } from "@mantine/core";
import { useIsFetching, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { durationInWords } from "../lib/duration";
import { REFRESH_CHOICES_MS, refreshText } from "../lib/viewState";
import { useDashboard } from "../state/dashboard";
import { changeView } from "../state/viewStore";
import { ChoiceList } from "./ChoiceList";
import { ChevronDown, RefreshIcon } from "./icons";
import css from "./RefreshControl.module.css";

function choiceText(refreshMs: number): string {
  return refreshMs === 0 ? "Off" : `Every ${durationInWords(refreshMs)}`;
}

export function RefreshControl() {
  const { refreshMs } = useDashboard();
  const client = useQueryClient();
  const [opened, setOpened] = useState(false);
  const fetching = useIsFetching() > 0;
  return (
    <ActionIcon.Group>
      <ActionIcon
        variant="default"
        size={30}
        aria-label="Refresh now"
        data-fetching={fetching || undefined}
        className={css.now ?? ""}
        onClick={() => void client.refetchQueries({ type: "active" })}
      >
        <RefreshIcon />
      </ActionIcon>
      <Popover opened={opened} onChange={setOpened} position="bottom-end" shadow="md" trapFocus>
        <Popover.Target>
          <Button
            className={css.every ?? ""}
            variant="default"
            size="xs"
            h={30}
            rightSection={<ChevronDown />}
            aria-label={`Refresh interval: ${choiceText(refreshMs)}`}
            onClick={() => setOpened(!opened)}
            data-testid="refresh-interval"
          >
            {refreshText(refreshMs)}
          </Button>
        </Popover.Target>
        <Popover.Dropdown className={css.box ?? ""} aria-label="Refresh interval">
          <ChoiceList
            label="Refresh interval"
            choices={REFRESH_CHOICES_MS.map((choice) => ({
              id: refreshText(choice),
              text: choiceText(choice),
              chosen: choice === refreshMs,
              pick: () => {
                setOpened(false);
                changeView({ refreshMs: choice }, { history: "replace" });
              },
            }))}
          />
        </Popover.Dropdown>
      </Popover>
    </ActionIcon.Group>
  );
}
