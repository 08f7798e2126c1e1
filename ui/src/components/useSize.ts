// Owns: the size of an element in CSS pixels, followed as it changes.

import { type RefObject, useLayoutEffect, useRef, useState } from "react";

export interface Size {
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Null until the element has been laid out. */
export function useSize<T extends HTMLElement>(): [RefObject<T | null>, Size | null] {
  const element = useRef<T>(null);
  const [size, setSize] = useState<Size | null>(null);
  useLayoutEffect(() => {
    const target = element.current;
    if (target === null) return;
    const measure = (): void => {
      const widthPx = Math.floor(target.clientWidth);
      const heightPx = Math.floor(target.clientHeight);
      if (widthPx === 0 || heightPx === 0) return;
      setSize((old) => (old?.widthPx === widthPx && old.heightPx === heightPx ? old : { widthPx, heightPx }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  return [element, size];
}
