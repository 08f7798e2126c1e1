// Owns: the settings of React Query that hold for every request of the page.

import { QueryClient } from "@tanstack/react-query";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // Every query polls (state/polling.ts), so a failed one is asked again anyway.
      retry: false,
      // The browser's own idea of "offline" says nothing about a server on this machine.
      networkMode: "always",
      refetchOnWindowFocus: true,
      staleTime: 1_000,
      gcTime: 120_000,
    },
  },
});
