/** What every page of the dashboard may use. */

import { type Accessor, createContext, useContext } from "solid-js";
import type { DashboardApi } from "../api/dashboard-api";
import { useApp } from "../features/app-context";
import { DASHBOARD_TEXTS, type DashboardTexts } from "../texts/dashboard";

export const DashboardContext = createContext<DashboardApi>();

export function useDashboard(): DashboardApi {
  const api = useContext(DashboardContext);
  if (!api) throw new Error("outside of DashboardContext");
  return api;
}

export function useDashboardTexts(): Accessor<DashboardTexts> {
  const { preferences } = useApp().preferences;
  return () => DASHBOARD_TEXTS[preferences.language];
}
