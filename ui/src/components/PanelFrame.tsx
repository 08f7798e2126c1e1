// Owns: what all panels share: frame, title, the expression behind it, and the loading, empty and error
// states.
// Never: knows what a panel draws; its content is given.

import type { ReactNode, Ref } from "react";
import type { Panel } from "../panels";
import { ownError, type PanelView } from "../state/usePanelQuery";
import { AlertIcon, WaitIcon } from "./icons";
import css from "./PanelFrame.module.css";
import { QueryInfo } from "./QueryInfo";

export interface PanelFrameProps {
  readonly panel: Panel;
  readonly view: PanelView<unknown>;
  /** Facts for tests and scripts, as data attributes of the panel. */
  readonly facts: Readonly<Record<`data-${string}`, string | number | undefined>>;
  readonly className?: string | undefined;
  readonly ref?: Ref<HTMLElement>;
  readonly children: ReactNode;
}

interface NoticeProps {
  readonly kind: "empty" | "error";
  readonly title: string;
  readonly detail: string;
  /** A tile has room for two lines: the sentence that matters; the pointer and screen readers get both. */
  readonly small: boolean;
}

function Notice({ kind, title, detail, small }: NoticeProps) {
  return (
    <div
      className={css.notice}
      data-kind={kind}
      data-small={small || undefined}
      role={kind === "error" ? "alert" : "status"}
      title={small ? `${title}: ${detail}` : undefined}
    >
      <span className={css.noticeIcon}>{kind === "error" ? <AlertIcon /> : <WaitIcon />}</span>
      <div className={css.noticeText}>
        <div className={css.noticeTitle}>{title}</div>
        <div className={css.noticeDetail}>{detail}</div>
      </div>
    </div>
  );
}

function stateNotice(view: PanelView<unknown>): Omit<NoticeProps, "small"> {
  if (view.state === "empty") {
    return { kind: "empty", title: view.reason?.title ?? "No data", detail: view.reason?.detail ?? "" };
  }
  const own = ownError(view.error);
  // The banner already raises its voice for the whole page.
  if (own === null) return { kind: "empty", title: "No connection", detail: "the server does not answer" };
  return { kind: "error", title: "Query failed", detail: own.message };
}

function Body({ panel, view, children }: Pick<PanelFrameProps, "panel" | "view" | "children">) {
  if (view.state === "data") return children;
  if (view.state === "loading") return <div className={css.skeleton} role="status" aria-label="Loading" />;
  return <Notice {...stateNotice(view)} small={panel.kind === "number"} />;
}

export function PanelFrame({ panel, view, facts, className, ref, children }: PanelFrameProps) {
  const lateError = view.state === "data" ? ownError(view.error) : null;
  const titleId = `panel-${panel.title.replace(/\W+/g, "-").toLowerCase()}`;
  return (
    <section
      ref={ref}
      className={`${css.panel} ${className ?? ""}`}
      aria-labelledby={titleId}
      aria-busy={view.state === "loading"}
      data-panel={panel.title}
      data-state={view.state}
      data-expr={view.expr}
      data-updated-at={view.updatedAtMs}
      {...facts}
    >
      <header className={css.head}>
        <h2 id={titleId} className={css.title}>
          {panel.title}
        </h2>
        {panel.kind === "series" && panel.unit === "packets/s" && (
          <span className={css.unit}>{panel.unit}</span>
        )}
        {lateError !== null && (
          <span className={css.late} role="alert" title={lateError.message}>
            <AlertIcon size={14} />
            <span>{lateError.message}</span>
          </span>
        )}
        <QueryInfo panel={panel} expr={view.expr} stepMs={view.stepMs} />
      </header>
      <div className={css.body}>
        <Body panel={panel} view={view}>
          {children}
        </Body>
      </div>
    </section>
  );
}
