// Owns: the page's few icons, drawn here so that no icon set has to be shipped.
// Never: speaks; every icon is hidden from screen readers, its button carries the label.

import type { ReactNode } from "react";

function Icon({ size = 16, children }: { readonly size?: number; readonly children: ReactNode }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const EyeIcon = ({ size = 24 }: { readonly size?: number }) => (
  <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
    <path
      d="M2 16C6 9 10.600 6 16 6s10 3 14 10c-4 7-8.600 10-14 10S6 23 2 16Z"
      stroke="currentColor"
      strokeWidth="2.2"
      strokeLinejoin="round"
    />
    <path
      d="M16 10.200a5.800 5.800 0 1 1-5.400 3.700"
      stroke="var(--sk-accent)"
      strokeWidth="2.800"
      strokeLinecap="round"
    />
    <circle cx="16" cy="16" r="2.100" fill="currentColor" />
  </svg>
);

export const RefreshIcon = () => (
  <Icon>
    <path d="M13.500 8a5.500 5.500 0 1 1-1.700-4" />
    <path d="M13.700 1.800v2.900h-2.900" />
  </Icon>
);

export const ClockIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6" />
    <path d="M8 4.700V8l2.200 1.400" />
  </Icon>
);

export const ChevronDown = () => (
  <Icon size={14}>
    <path d="m4 6 4 4 4-4" />
  </Icon>
);

export const ChevronLeft = () => (
  <Icon>
    <path d="m10 3.500-4.500 4.500L10 12.500" />
  </Icon>
);

export const ChevronRight = () => (
  <Icon>
    <path d="m6 3.500 4.500 4.500L6 12.500" />
  </Icon>
);

export const ZoomOutIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.700" />
    <path d="m10.500 10.500 3.500 3.500M5 7h4" />
  </Icon>
);

export const SunIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="2.800" />
    <path d="M8 1.500v1.300M8 13.200v1.300M1.500 8h1.300M13.200 8h1.300" />
    <path d="M3.400 3.400l.9.9M11.700 11.700l.9.9M12.600 3.400l-.9.9M4.300 11.700l-.9.9" />
  </Icon>
);

export const MoonIcon = () => (
  <Icon>
    <path d="M13.500 9.600A5.900 5.900 0 0 1 6.400 2.500a5.900 5.900 0 1 0 7.100 7.100Z" />
  </Icon>
);

export const AutoIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="5.800" />
    <path d="M8 2.200a5.800 5.800 0 0 1 0 11.600Z" fill="currentColor" stroke="none" />
  </Icon>
);

export const CodeIcon = () => (
  <Icon size={14}>
    <path d="m5.500 4.500-3.500 3.500 3.500 3.500M10.500 4.500 14 8l-3.500 3.500" />
  </Icon>
);

export const AlertIcon = ({ size = 16 }: { readonly size?: number }) => (
  <Icon size={size}>
    <path d="M8 2.300 14.500 13.500h-13Z" />
    <path d="M8 6.500v3M8 11.600v.1" />
  </Icon>
);

export const WaitIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6" strokeDasharray="2.600 2.115" />
  </Icon>
);
