// Owns: the small button in a panel's corner that shows the expression as it is sent.

import { ActionIcon, Popover } from "@mantine/core";
import { shortDuration } from "../lib/duration";
import type { Panel } from "../panels";
import { CodeIcon } from "./icons";
import css from "./QueryInfo.module.css";

export interface QueryInfoProps {
  readonly panel: Panel;
  readonly expr: string;
  readonly stepMs: number;
}

export function QueryInfo({ panel, expr, stepMs }: QueryInfoProps) {
  return (
    <Popover position="bottom-end" width={420} shadow="md" withinPortal>
      <Popover.Target>
        <ActionIcon
          className={css.button ?? ""}
          variant="subtle"
          color="gray"
          size={22}
          aria-label={`Query of ${panel.title}`}
        >
          <CodeIcon />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown className={css.box ?? ""}>
        <div className={css.label}>
          {panel.kind === "series" ? `Range query, step ${shortDuration(stepMs)}` : "Instant query"}
        </div>
        <pre className={css.code}>{expr}</pre>
      </Popover.Dropdown>
    </Popover>
  );
}
