// Owns: refreshing now, and choosing how often it happens by itself.

import { ActionIcon, Button, Menu } from "@mantine/core";
import { useIsFetching, useQueryClient } from "@tanstack/react-query";
import { durationInWords } from "../lib/duration";
import { REFRESH_CHOICES_MS, refreshText } from "../lib/viewState";
import { useDashboard } from "../state/dashboard";
import { changeView } from "../state/viewStore";
import { ChevronDown, RefreshIcon } from "./icons";
import css from "./RefreshControl.module.css";

function choiceText(refreshMs: number): string {
  return refreshMs === 0 ? "Off" : `Every ${durationInWords(refreshMs)}`;
}

export function RefreshControl() {
  const { refreshMs } = useDashboard();
  const client = useQueryClient();
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
      <Menu position="bottom-end" shadow="md">
        <Menu.Target>
          <Button
            className={css.every ?? ""}
            variant="default"
            size="xs"
            h={30}
            rightSection={<ChevronDown />}
            aria-label={`Refresh interval: ${choiceText(refreshMs)}`}
          >
            {refreshText(refreshMs)}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {REFRESH_CHOICES_MS.map((choice) => (
            <Menu.Item
              key={choice}
              className={css.choice ?? ""}
              data-chosen={choice === refreshMs || undefined}
              onClick={() => changeView({ refreshMs: choice }, { history: "replace" })}
            >
              {choiceText(choice)}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </ActionIcon.Group>
  );
}
