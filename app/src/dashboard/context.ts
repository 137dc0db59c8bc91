/** What every page of the dashboard may use. */

import { type Accessor, createContext, useContext } from "solid-js";
import type { DashboardApi } from "../api/dashboard-api";
import { useApp } from "../features/app-context";
import type { Failure } from "../state/failure";
import { type OperatorView, operatorPath } from "../state/route";
import { CHAT_TEXTS, failureText } from "../texts/chat";
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

export function useFailureText(): (failure: Failure) => string {
  const { preferences } = useApp().preferences;
  return failure => failureText(CHAT_TEXTS[preferences.language], failure);
}

/** What the server says in fixed words, in the reader's language; what somebody typed stays as it is. */
export function useSaid(): (text: string) => string {
  const texts = useDashboardTexts();
  return text => {
    const { said, saidBefore } = texts();
    const known = Object.hasOwn(said, text) ? said[text] : undefined;
    if (known !== undefined) return known;
    const start = Object.keys(saidBefore).find(words => text.startsWith(words));
    return start === undefined ? text : `${saidBefore[start]}${text.slice(start.length)}`;
  };
}

const KEPT = ["range", "from", "to", "tz"];

/** Links between the pages keep the period and its zone. */
export function useOperatorLink(): (view: OperatorView, id?: string, more?: Record<string, string>) => string {
  const { navigation } = useApp();
  return (view, id, more = {}) => {
    const query = new URLSearchParams();
    for (const name of KEPT) {
      const value = navigation.query().get(name);
      if (value) query.set(name, value);
    }
    if (more.range) for (const edge of ["from", "to"]) query.delete(edge);
    for (const [name, value] of Object.entries(more)) query.set(name, value);
    return operatorPath(view, id) + (query.size > 0 ? `?${query}` : "");
  };
}
